"""Test images that are in the training data: refused, left out, or scored nevertheless."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.deliveries import copy_into, deliver, metrics_of
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.delivery.overlap import IDENTICAL, RELATED, SUBJECT, leave_out
from leukemia.delivery.seen import Seen
from leukemia.study.folder import Study


@pytest.fixture
def overlapping(tmp_path: Path, patients: Path, tiny_folder: Path) -> Path:
    """The test set, plus two training images with new subjects, and new images of a training subject."""
    folder = tmp_path / "overlapping"
    shutil.copytree(patients, folder)
    copy_into(folder, tiny_folder, "fold_1/all/UID_1_[12]_1_all.png", lambda name: name.replace("UID_1_", "UID_99_"))
    copy_into(folder, patients, "fold_*/hem/UID_H11_*", lambda name: name.replace("UID_H11_", "UID_H4_"))
    for path in folder.glob("fold_*/hem/UID_H4_*"):
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(path)
    return folder


@pytest.mark.usefixtures("no_training")
def test_overlap_of_images_or_subjects_is_rejected(study: Study, overlapping: Path) -> None:
    with pytest.raises(
        UserError, match=r"^--test: 2 images and 1 subjects of the test set are in the training data"
    ) as raised:
        deliver(study, "--test", overlapping)
    message = str(raised.value)
    assert "--allow-overlap" in message
    assert message.splitlines()[1:] == [
        "  image fold_1/all/UID_99_1_1_all.png",
        "  image fold_1/all/UID_99_2_1_all.png",
        "  subject H4",
    ]
    assert not (study.folder / "final").exists()


@pytest.mark.usefixtures("untrained")
def test_allowed_overlap_is_stated_everywhere(
    study: Study, overlapping: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(study, "--test", overlapping, "--allow-overlap") == 0
    metrics, folder = metrics_of(study), study.folder / "final"
    assert metrics["test"]["overlap"] == ["2 images", "1 subjects"]
    assert metrics["test"]["protocol"] == "random-cell"
    caveat = "The test set overlaps the training data (2 images; 1 subjects): its scores are too optimistic."
    assert metrics["caveats"] == [caveat]
    assert caveat in (folder / "MODEL_CARD.md").read_text()
    assert caveat in (folder / "report.html").read_text()
    assert f"caveat: {caveat}" in capsys.readouterr().out


LEFT_OUT = (
    "6 of 18 test images are left out (--drop-overlap): 2 identical to a training image, 2 of a training subject, "
    "2 of a subject that shares identical images with those"
)


@pytest.fixture
def renamed(overlapping: Path, patients: Path) -> Path:
    """That test set, in which the subject of the two training images also has two others."""
    copy_into(overlapping, patients, "fold_*/all/UID_11_*", lambda name: name.replace("UID_11_", "UID_99_"))
    for path in [*overlapping.glob("fold_2/all/UID_99_*")]:
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(path)
    return overlapping


@pytest.mark.usefixtures("untrained")
def test_overlapping_images_are_left_out_and_every_output_says_so(
    study: Study, renamed: Path, patients: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(study, "--test", renamed, "--drop-overlap") == 0
    output, folder, metrics = capsys.readouterr().out, study.folder / "final", metrics_of(study)
    assert f"note: test data: {LEFT_OUT}\n" in output
    assert "note: test data: left out, of a training subject: fold_2/hem/UID_H4_1_1_hem.png, fold_2/hem/" in output
    assert f"caveat: {LEFT_OUT}.\n" in output
    assert (metrics["test"]["n"], metrics["test"]["left_out"], metrics["test"]["overlap"]) == (12, 6, [])
    assert metrics["test"]["left_out_reasons"] == LEFT_OUT.partition(": ")[2].split(", ")
    assert metrics["test"]["protocol"] == "grouped"
    assert metrics["caveats"] == [f"{LEFT_OUT}."]
    assert LEFT_OUT in json.loads((folder / "model.json").read_text())["evaluation"]["notes"]
    for name in ("MODEL_CARD.md", "report.html"):
        assert LEFT_OUT in (folder / name).read_text()
    # The others are predicted as a test set without the overlap.
    predicted = pd.read_csv(folder / "predictions.csv", dtype=str)
    assert predicted["image_id"].tolist() == read_catalog(patients).table["image_id"].tolist()
    assert deliver(study, "--test", patients, "--out", "other") == 0
    pd.testing.assert_frame_equal(predicted, pd.read_csv(study.folder / "other/predictions.csv", dtype=str))


@pytest.mark.usefixtures("untrained")
def test_a_test_set_without_overlap_stays_whole(
    study: Study, patients: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(study, "--test", patients, "--drop-overlap") == 0
    line = "none of 12 test images is left out (--drop-overlap): no overlap was found"
    assert f"note: test data: {line}\n" in capsys.readouterr().out
    metrics = metrics_of(study)
    assert (metrics["test"]["left_out"], metrics["caveats"]) == (0, [])


@pytest.mark.usefixtures("no_training")
def test_an_overlap_that_leaves_too_little(study: Study, overlapping: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--test: 48 of 48 test images are left out .*, so none remain; use other"):
        deliver(study, "--test", tiny_folder, "--drop-overlap")
    for path in overlapping.glob("fold_*/hem/*"):
        if "UID_H4_" not in path.name:
            path.unlink()
    with pytest.raises(UserError, match=r"^--test: 4 of 10 .*, so only images of class 1 \(leukemic\) remain; "):
        deliver(study, "--test", overlapping, "--drop-overlap")
    assert not (study.folder / "final").exists()


@pytest.mark.usefixtures("no_training")
def test_options_that_cannot_be_obeyed(study: Study, patients: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--drop-overlap", "--allow-overlap"):
        with pytest.raises(UserError, match=rf"^{option} has no effect without a test set; add --test, or"):
            deliver(study, option)
    with pytest.raises(SystemExit) as end:
        deliver(study, "--test", patients, "--drop-overlap", "--allow-overlap")
    assert end.value.code == 2
    assert "argument --allow-overlap: not allowed with argument --drop-overlap" in capsys.readouterr().err


def draw_list(folder: Path, images: list[int], subjects: list[str] | None = None) -> Path:
    """A CSV of images of these numbers, alternately normal and leukemic."""
    folder.mkdir()
    lines = ["Path,label,subject" if subjects else "Path,label"]
    for row, number in enumerate(images):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{row:02}.png")
        lines.append(",".join([f"{row:02}.png", str(number % 2), *(subjects[row : row + 1] if subjects else [])]))
    (folder / "list.csv").write_text("\n".join(lines))
    return folder / "list.csv"


def test_without_subjects_only_identical_images_are_left_out(tmp_path: Path) -> None:
    training = read_catalog(draw_list(tmp_path / "training", [0, 1, 2, 3]))
    test = read_catalog(draw_list(tmp_path / "test", [3, 4, 2, 5, 7, 8]))
    held_out = leave_out(Seen.of(training), test)
    assert held_out.left_out is not None
    assert held_out.left_out.counts == {IDENTICAL: 2}
    assert held_out.catalog.table["image_id"].tolist() == ["01.png", "03.png", "04.png", "05.png"]
    assert held_out.catalog.fingerprint != test.fingerprint


def test_images_without_a_subject_are_left_out_one_by_one(tmp_path: Path) -> None:
    """They form one group in a split, but may be of many patients."""
    training = read_catalog(draw_list(tmp_path / "training", [0, 1, 2, 3], ["a", "b", "NA", "d"]))
    names = ["NA", "NA", "x", "x", "A", "y", "z", "NA"]
    test = read_catalog(draw_list(tmp_path / "test", [2, 4, 3, 5, 7, 8, 9, 10], names))
    held_out = leave_out(Seen.of(training), test)
    assert held_out.left_out is not None
    assert held_out.left_out.counts == {IDENTICAL: 2, SUBJECT: 1, RELATED: 1}
    assert held_out.catalog.table["image_id"].tolist() == ["01.png", "05.png", "06.png", "07.png"]


def test_the_message_says_how_many_images_would_be_left_out(study: Study, renamed: Path) -> None:
    with pytest.raises(
        UserError, match=r"--drop-overlap \(leaves out these images and all images of these subjects, 6 of 18\), or"
    ):
        deliver(study, "--test", renamed)
