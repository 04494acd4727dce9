"""Every command of ``docs/data.md`` is run on a small example of the data that it names, and answers as expected."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell, draw_cells
from helpers.course import draw_course
from helpers.deliveries import searched
from helpers.layouts import draw_fields, draw_images, write_csv, write_patients
from helpers.subclasses import draw_folders

from leukemia.data.catalog import read_catalog
from search.planning import estimate
from search.planning.plan import Plan

PAGE = Path(__file__).parents[2] / "docs" / "data.md"

COMMAND = re.compile(r"python -m ([^`\n]*[^`\n ])")
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)

EXPECTED = {
    "leukemia.catalog C-NMC_Leukemia": ["(layout cnmc; 16 fold 0,", "48 (24 hem, 24 all)", "12 (6 hem, 6 all)"],
    "leukemia.catalog renumbered --subjects-from C-NMC_Leukemia": ["(layout folders)", "12 (6 hem, 6 all)"],
    "leukemia.catalog cells.csv": ["(layout csv)", "12 (6 normal, 6 leukemic)", "warning:     subjects are unknown"],
    "leukemia.catalog semicolons.csv": ["12 (6 normal, 6 leukemic)", "in the CSV are separated by semicolons"],
    'leukemia.catalog patients.csv --subject-column "Patient ID"': ["subjects:    6 (3 normal, 3 leukemic)"],
    "leukemia.catalog cases/cases.csv --subject-column Case": ["12 (6 hem, 6 all)", "subjects:    4 (2 hem, 2 all)"],
    "leukemia.catalog folds.csv --split-column fold": ["4 fold 0, 4 fold 1, 4 fold 2 images, kept apart)"],
    "leukemia.catalog train.csv valid.csv": ["16 (8 normal, 8 leukemic)", "12 train, 4 validation images, together;"],
    "leukemia.catalog course": ["12 train, 4 validation images, together;", "resnet_18_test.csv (3 rows)"],
    "leukemia.catalog course --split-column split": ["12 train, 4 validation images, kept apart)"],
    "leukemia.catalog folders": ["normal = healthy (6); leukemic = leukemia (6)"],
    r"leukemia.catalog folders --subject-pattern 'patient(\d+)'": ["subjects:    4 (2 healthy, 2 leukemia)"],
    "leukemia.catalog stages --classes normal=Normal,Reactive leukemic=L1,L2": [
        "normal = Normal (6), Reactive (6); leukemic = L1 (6), L2 (6)"
    ],
    "leukemia.catalog stages --classes normal=Normal leukemic=L1,L2 ignore=Reactive": [
        "normal = Normal (6); leukemic = L1 (6), L2 (6)",
        "leaves out 6 of 24 images",
    ],
    "leukemia.catalog graded.csv --classes normal=0 leukemic=1,2,3 ignore=4 --label-column stage": [
        "normal = 0 (8); leukemic = 1 (2), 2 (2), 3 (2)",
        "leaves out 2 of 16 images",
    ],
    "leukemia.catalog parts --split-column split": ["12 train, 12 validation images, kept apart; 12 images of test"],
    "leukemia.catalog named --classes normal=lymphocyte leukemic=blast": [
        "normal = lymphocyte (6); leukemic = blast (6)",
        "labels are read from the names of the files",
    ],
    "leukemia.catalog cohort --classes normal=Ctrl leukemic=ALL,AML": [
        "normal = Ctrl (6); leukemic = ALL (3), AML (3)",
        "labels are read from the names of the folders",
    ],
    "leukemia.catalog ward --label-column type --classes normal=lymphocyte leukemic=lymphoblast": [
        "normal = lymphocyte (6); leukemic = lymphoblast (6)",
        "read P0/cells.csv, P1/cells.csv",
    ],
    "leukemia.catalog clinic --subject-column patient": [
        "12 (6 hem, 6 all)",
        "subjects:    4 (2 hem, 2 all)",
        "columns of another table, joined by patient: diagnosis",
    ],
    "leukemia.catalog annotated": ["12 (6 normal, 6 leukemic)", "read labels.json"],
    "leukemia.catalog sidecars": ["12 (6 normal, 6 leukemia)", "labels are looked up in the files *.txt"],
    "leukemia.catalog anything --label-sheet sheet.csv": ["sheet:       sheet.csv (12 images, 0 of them with a label)"],
    "leukemia.catalog taleqani": ["normal = Benign (6); leukemic = Early (6), Pre (6), Pro (6)"],
    "leukemia.catalog taleqani --contact-sheet sheet.png": ["sheet:       sheet.png"],
    "leukemia.catalog ALL-IDB2": ["8 (4 normal, 4 leukemic)", "_1 shows a lymphoblast, _0 none"],
    "leukemia.unpack arrays.npz arrays": ["arrays/images.csv"],
    "leukemia.catalog arrays": ["read images.csv", "12 (6 normal, 6 leukemic)"],
    "search.run --data fields --set data.fit=resize --dry-run": ["whole images, scaled down to 224 px"],
    "leukemia.final --best --test new_images": ["3 test images without labels: predictions only"],
    "leukemia.final --best --test later.csv --drop-overlap": ["none of 6 test images is left out", "test accuracy: "],
    "leukemia.final --best --test course/resnet_18_test.csv --submission submission.csv": [
        "submission: submission.csv"
    ],
    "leukemia.predict --model runs/first/final course/resnet_18_test.csv --submission again.csv": [
        "submission: again.csv"
    ],
}
"""What each command of the page prints, among other things."""


def commands_of(page: str) -> list[str]:
    """The commands in tables and blocks, in their order, each once, without ``python -m``."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    found = [command for text in (*rows, *BLOCK.findall(page)) for command in COMMAND.findall(text)]
    return list(dict.fromkeys(found))


def draw_examples(folder: Path) -> None:
    """The data that the commands name, and a finished search ``runs/first``."""
    cnmc = draw_cells(folder / "C-NMC_Leukemia", seed=1)
    for number, path in enumerate(sorted(cnmc.rglob("*.png"))):
        target = folder / "renumbered" / path.parent.name / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    write_csv(folder / "cells.csv", 12)
    write_csv(folder / "semicolons.csv", 12, delimiter=";")
    write_patients(folder / "patients.csv", patients=6)
    for number, path in enumerate(draw_images(folder / "cases", 12)):
        target = path.parent / f"E-{number % 4}" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    (folder / "cases" / "cases.csv").write_text("Case,diagnosis\nE-0,hem\nE-1,all\nE-2,hem\nE-3,all\n")
    write_csv(folder / "folds.csv", 12, fold=[number // 2 % 3 for number in range(12)])
    write_csv(folder / "train.csv", 12)
    write_csv(folder / "valid.csv", 4, seed=1)
    draw_course(folder / "course")
    for number, path in enumerate(draw_images(folder / "folders", 12)):
        target = path.parent / ("healthy", "leukemia")[number % 2] / f"patient{number % 4}_{number}.png"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    draw_folders(folder / "stages", names=("Normal", "Reactive", "L1", "L2"))
    stages = [number % 2 * (1 + number // 2 % 4) for number in range(16)]
    write_csv(folder / "graded.csv", 16, stage=stages)
    for seed, part in enumerate(("train", "val", "test")):
        draw_folders(folder / "parts" / part, names=("hem", "all"), seed=seed)
    for number, path in enumerate(draw_images(folder / "named", 12)):
        path.rename(path.with_name(f"{('lymphocyte', 'blast')[number % 2]}_{number}.png"))
    for number, path in enumerate(draw_images(folder / "cohort", 12)):
        target = path.parent / f"Pt_{number % 4:02d}_{('Ctrl', 'ALL', 'Ctrl', 'AML')[number % 4]}" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    for patient in range(2):
        draw_images(folder / "ward" / f"P{patient}", 6, seed=patient)
        rows = [f"{image + 1:03d}.png,{('lymphocyte', 'lymphoblast')[image % 2]}" for image in range(6)]
        (folder / "ward" / f"P{patient}" / "cells.csv").write_text("\n".join(["cell,type", *rows]))
    images = draw_images(folder / "clinic" / "cells", 12)
    rows = [f"{path.name},P{number % 4}" for number, path in enumerate(images)]
    (folder / "clinic" / "cells.csv").write_text("\n".join(["image,patient", *rows]))
    patients = "patient,diagnosis\nP0,hem\nP1,all\nP2,hem\nP3,all\n"
    (folder / "clinic" / "patients.csv").write_text(patients)
    records = [
        {"file": path.name, "label": number % 2} for number, path in enumerate(draw_images(folder / "annotated", 12))
    ]
    (folder / "annotated" / "labels.json").write_text(json.dumps(records))
    for number, path in enumerate(draw_images(folder / "sidecars", 12)):
        path.with_suffix(".txt").write_text(("normal", "leukemia")[number % 2])
    draw_images(folder / "anything", 12)
    draw_folders(folder / "taleqani")
    draw_fields(folder / "ALL-IDB2", 8, cells=1)
    draw_fields(folder / "fields", 16, cells=8)
    generator = np.random.default_rng(0)
    labels = np.arange(12) % 2
    np.savez(folder / "arrays.npz", images=[draw_cell(generator, label) for label in labels], labels=labels)
    draw_images(folder / "new_images", 3, seed=2)
    write_csv(folder / "later.csv", 6, seed=3)
    searched(folder / "runs", read_catalog(cnmc), str(cnmc), name="first")


def test_every_command_of_the_page_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = commands_of(PAGE.read_text(encoding="utf-8"))
    assert sorted(commands) == sorted(EXPECTED), "every command has an example here, and every example a command"
    draw_examples(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    # Building a search's largest networks and timing its recipe take a while; neither depends on the layout.
    monkeypatch.setattr(Plan, "checkpoint_bytes", lambda plan: 10**6)
    monkeypatch.setattr(estimate, "seconds_per_image", lambda plan, recipe, device: 0.01)
    for command in commands:
        module, *arguments = shlex.split(command, comments=True)
        assert importlib.import_module(module).main(arguments) == 0, command
        printed = capsys.readouterr().out
        for phrase in EXPECTED[command]:
            assert phrase in printed, f"{command}\n{printed}"


def test_commands_are_found_in_tables_and_blocks() -> None:
    page = """
`python -m a`, in a text
| `python -m b x`, then `python -m c "y z"` |
```bash
python -m d     # a comment
python -m b x
```
"""
    assert commands_of(page) == ["b x", 'c "y z"', "d     # a comment"]
