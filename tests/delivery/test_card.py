"""The card of a model has the sections of model cards, and no paths of the machine that wrote it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.deliveries import deliver, searched
from helpers.subclasses import draw_folders

import leukemia
from leukemia.data.catalog import read_catalog
from leukemia.data.reading import Reading
from leukemia.study import layout
from leukemia.study.data_summary import DataSummary
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord

SECTIONS = [
    "Model",
    "Intended use",
    "Not intended",
    "Data",
    "Protocol",
    "Score to quote",
    "Scores on the test set",
    "Scores by patient",
    "Threshold",
    "Calibration",
    "Test sets",
    "Limits",
    "How to load it",
    "Provenance",
]


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def sections(card: str) -> dict[str, str]:
    """The text of each section by its title."""
    parts = re.split(r"^## (.+)\n", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.usefixtures("untrained")
def test_the_card_has_all_sections(delivered: Study, patients: Path, tiny_folder: Path, tmp_path: Path) -> None:
    deliver(delivered, "--test", patients)
    card = (delivered.folder / "final" / layout.CARD).read_text()
    found = sections(card)
    assert list(found) == SECTIONS
    assert "not a medical device, not for diagnosis" in card
    assert "diagnosis, treatment, triage" in found["Not intended"]
    assert (
        f"- Training: {tiny_folder.name}: 48 images (24 normal, 24 leukemic) of 12 patients (6 normal, 6 leukemic); "
        "its own words are hem (normal) and all (leukemic).\n"
    ) in found["Data"]
    assert f"- Test: {patients.name}: 12 images (6 normal, 6 leukemic) of 6 patients (3 normal, 3 " in found["Data"]
    assert "among 1 complete trial by cross-validation with 2 folds" in found["Protocol"]
    assert "No image and no patient of the test set is in the training data" in found["Protocol"]
    assert "| Brier score | " in found["Calibration"]
    # What it says about loading is true.
    assert 'leukemia.load("FOLDER")' in found["How to load it"]
    model = leukemia.load(delivered.folder / "final", device="cpu")
    for name in ("predict", "explain"):
        assert f"model.{name}(" in found["How to load it"]
        assert callable(getattr(model, name))


@pytest.mark.usefixtures("untrained")
def test_the_card_has_no_paths_of_this_machine(delivered: Study, patients: Path, tmp_path: Path) -> None:
    deliver(delivered, "--test", patients)
    folder = delivered.folder / "final"
    card, record = (folder / layout.CARD).read_text(), ModelRecord.read(folder)
    assert record is not None
    assert record.evaluation is not None
    assert str(patients) in record.evaluation.command, "the record has them in full"
    for path in (patients.parent, tmp_path, delivered.folder.parent):
        assert str(path) not in card
    assert f"--test {patients.name}" in sections(card)["Provenance"]


@pytest.mark.usefixtures("untrained")
def test_foreign_data_keep_their_own_words(tmp_path: Path) -> None:
    names = ("Benign", "Early", "Pre")
    cells = draw_folders(tmp_path / "cells", names=names)
    study = searched(tmp_path / "runs", read_catalog(cells), str(cells), "random-cell")
    test = draw_folders(tmp_path / "test", names=names, seed=5, per_folder=3)
    deliver(study, "--test", test)
    folder = study.folder / "final"
    for name in (layout.CARD, layout.REPORT):
        text = re.sub(r"<script.*?</script>", "", (folder / name).read_text(), flags=re.DOTALL)
        assert "Benign (normal) and Early, Pre (leukemic)" in text, name
        assert not re.search(r"\bhem\b", text), name
        assert "(all)" not in text


def test_a_summary_counts_images_and_patients(tiny_folder: Path, tmp_path: Path) -> None:
    summary = DataSummary.of(read_catalog(tiny_folder), ["/a/b/cells", "/c/more.csv"])
    assert summary.name == "cells + more.csv"
    assert (summary.images, summary.num_patients, summary.patients) == ([24, 24], 12, [6, 6])
    folders = draw_folders(tmp_path / "folders", names=("Benign", "Early", "Pre"), per_folder=2)
    summary = DataSummary.of(read_catalog(folders), ["sample"])
    assert (summary.name, summary.num_images, summary.images) == ("sample", 6, [2, 4])
    assert (summary.num_patients, summary.patients, summary.words) == (None, None, ["Benign", "Early, Pre"])
    assert summary.describe().startswith("sample: 6 images (2 normal, 4 leukemic) of unknown patients; its own words")
    unlabelled = DataSummary.of(read_catalog(folders, Reading(), labels=False), ["x"])
    assert unlabelled.num_images == 6


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(["0", "1"], None), (["healthy", "ALL"], ("healthy", "ALL")), (["normal", "1"], ("normal", "1"))],
)
def test_numbers_are_no_words_for_classes(
    tmp_path: Path, tiny_folder: Path, rows: list[str], expected: tuple[str, str] | None
) -> None:
    paths = [sorted(tiny_folder.rglob(f"{name}/*.png"))[0] for name in ("hem", "all")]
    for number, path in enumerate(paths):
        (tmp_path / f"{number}.png").write_bytes(path.read_bytes())
    listing = tmp_path / "list.csv"
    listing.write_text("Path,label\n" + "".join(f"{number}.png,{word}\n" for number, word in enumerate(rows)))
    catalog = read_catalog(listing, Reading(classes=(f"normal={rows[0]}", f"leukemic={rows[1]}")))
    assert catalog.class_words == expected
    assert catalog.class_names == (expected or ("normal", "leukemic"))
