"""Options of reading and a test set: each is obeyed, or named as one that does not apply."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.deliveries import deliver, metrics_of

from leukemia.base.errors import UserError
from leukemia.config.presets import seed as recipe
from leukemia.data.catalog import read_catalog
from leukemia.data.reading import Reading
from leukemia.delivery.evaluation import read_test_set
from leukemia.delivery.overlap import find_overlap
from leukemia.delivery.seen import Seen
from leukemia.study.folder import Study


def write_list(path: Path, source: Path) -> Path:
    """A CSV of the images below ``source``, with paths relative to it."""
    images = sorted(source.rglob("*.png"))
    rows = [f"{image.relative_to(source).as_posix()},{int('_all' in image.name)}" for image in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["Path,label", *rows]) + "\n")
    return path


@pytest.mark.usefixtures("untrained")
def test_a_list_of_test_images_elsewhere_is_read_with_its_own_base(
    study: Study, patients: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    path = write_list(tmp_path / "lists" / "test.csv", patients)
    training = write_list(tmp_path / "lists" / "train.csv", tiny_folder)
    assert deliver(study, "--test", path, "--test-base", patients) == 0
    assert metrics_of(study)["test"]["n"] == 12
    # The base folder of the training data is not that of the test set, given now or recorded.
    options = ["--data", training, "--base", tiny_folder, "--test", path]
    with pytest.raises(UserError, match=r"test\.csv: none of the 12 images exists .*; give .* paths with --test-base"):
        deliver(study, *options)
    assert deliver(study, *options, "--test-base", patients) == 0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("folder", r"^--test-base has no effect with .*patients, which is a folder, not a CSV; leave it out"),
        ("absent", r"^no folder at .*nowhere; --test-base is the base folder for relative paths in the CSV"),
        ("phase", r"phase_labels\.csv: no images in .*nowhere; give their folder with --test-base$"),
        ("none", r"^--test-base has no effect without a test set; add --test, or leave it out$"),
    ],
)
@pytest.mark.usefixtures("no_training")
def test_a_base_folder_that_cannot_be_used(
    study: Study, patients: Path, tmp_path: Path, kind: str, message: str
) -> None:
    tests = {"folder": patients, "absent": write_list(tmp_path / "test.csv", patients)}
    if kind == "phase":
        tests[kind] = tmp_path / "phase_labels.csv"
        tests[kind].write_text("Patient_ID,new_names,labels\nUID_1_1_1_all.bmp,1.bmp,1\n")
    with pytest.raises(UserError, match=message):
        deliver(study, *(["--test", tests[kind]] if kind in tests else []), "--test-base", tmp_path / "nowhere")


@pytest.fixture
def renumbered(tiny_folder: Path, tmp_path: Path) -> Path:
    """Folders ``training`` and ``test`` with halves of the images, numbered."""
    for number, image in enumerate(sorted(tiny_folder.rglob("*.png"))):
        part = "test" if image.stem.endswith(("_4_1_all", "_4_1_hem")) else "training"
        target = tmp_path / part / image.parent.name / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
    return tmp_path


def test_subjects_of_a_renumbered_test_set_are_looked_up_as_well(renumbered: Path, tiny_folder: Path) -> None:
    reading = Reading(subjects_from=str(tiny_folder))
    training, test = (
        read_catalog(renumbered / "training", reading),
        read_test_set(renumbered / "test", reading, recipe()),
    )
    assert test.has_all_subjects
    with pytest.raises(UserError, match=r"^--test: 0 images and 12 subjects of the test set are in the training data"):
        find_overlap(Seen.of(training), test, allowed=False)


@pytest.mark.parametrize("named", [False, True])
def test_a_test_set_that_the_copy_lacks_is_read_without_it(
    renumbered: Path, tiny_folder: Path, patients: Path, named: bool
) -> None:
    reading = Reading(subjects_from=str(tiny_folder))
    if not named:
        for number, image in enumerate(sorted(patients.rglob("*.png"))):
            shutil.copy(image, renumbered / "test" / image.parent.name / f"new{number}.png")
    test = read_test_set(patients if named else renumbered / "test", reading, recipe())
    assert test.has_subjects == named
    note = test.subject_notes[-1]
    assert note.startswith("read without this option: --subjects-from ")
    assert note.endswith("leave it out" if named else "remove them, or give a complete copy")
    assert ("12 of 24 images are missing from it" in note) != named


def test_all_options_but_the_base_folder_apply_to_a_test_set() -> None:
    """A new option applies, too, unless it is excluded on purpose."""
    given: dict[str, Any] = {field.name: field.name for field in dataclasses.fields(Reading)}
    expected = given | {"base": "/images"}
    # The further paths are those of the training data.
    del expected["also"]
    assert Reading(**given).of_test_set("/images").given() == expected
