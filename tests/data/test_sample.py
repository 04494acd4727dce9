"""The sample set: C-NMC's layout and look, reproducible by seed, neither trivial nor impossible to classify."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_curve
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from leukemia import ALL, CLASS_NAMES, HEM
from leukemia import sample as sample_command
from leukemia.base import files
from leukemia.base.errors import UserError
from leukemia.data import cell, sample

TINY = {"num_subjects": 6, "images_per_subject": 2, "num_test_images": 3}
NAME = re.compile(r"UID_(?P<subject>H?\d+)_\d+_\d+_(?P<class_name>all|hem)\.bmp")
PLAIN = ("red", "green", "blue", "area", "mean", "std")
"""Features for a single threshold; if one of these separated the classes, the sample set would be trivial."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 12 + 3 images."""
    root = tmp_path_factory.mktemp("sample") / "tiny"
    sample.generate(root, seed=7, **TINY)
    return root


@pytest.fixture(scope="module")
def cells() -> dict[str, NDArray]:
    """Half of the default training set's cells, without files: image features by name, labels, subjects."""
    people = [person for label, count in ((HEM, 10), (ALL, 14)) for person in cell.subjects(0, label, 1, count)]
    jobs = [(person, image) for person in people for image in range(6)]
    rows = [_features(cell.draw_cell(p, np.random.default_rng((0, p.label, p.number, i)))) for p, i in jobs]
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return table | {"label": np.array([p.label for p, _ in jobs]), "subject": np.array([p.name for p, _ in jobs])}


def _features(rgb: NDArray[np.uint8]) -> dict[str, float]:
    mask = rgb.any(axis=2)
    gray = rgb.mean(axis=2).astype(np.float32)
    # The rim shows the cytoplasm, the core shows the chromatin.
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    core, rim = depth > 0.45 * depth.max(), (depth > 6) & (depth < 14)
    little, much = (cv2.blur(cv2.blur(gray, (side, side)), (side, side)) for side in (7, 29))
    fine, coarse = gray - little, little - much
    contour = max(cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
    hull = cv2.contourArea(cv2.convexHull(contour))
    rows, columns = np.nonzero(mask)
    centre = (cell.SIDE_PX - 1) / 2
    return {
        **dict(zip(("red", "green", "blue"), rgb[mask].mean(axis=0), strict=True)),
        "area": mask.sum(),
        "mean": gray.mean(),
        "std": gray.std(),
        "fine_texture": fine[core].std() / gray[core].mean(),
        "coarse_texture": coarse[core].std() / gray[core].mean(),
        "rim_brightness": gray[rim].mean() / gray[core].mean(),
        "roundness": cv2.contourArea(contour) / hull,
        "square_px": 2 * max(np.abs(rows - centre).max(), np.abs(columns - centre).max()) + 1,
    }


def _digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _best_threshold(values: NDArray, labels: NDArray) -> float:
    false_rate, true_rate, _ = roc_curve(labels, values)
    return float((1 + np.abs(true_rate - false_rate).max()) / 2)


def test_training_folders_contain_whole_subjects_of_both_classes(tiny: Path) -> None:
    folds_of: dict[str, set[str]] = {}
    for path in (tiny / "C-NMC_training_data").rglob("*.bmp"):
        match = NAME.fullmatch(path.name)
        assert match, path
        assert path.parent.name == match["class_name"]
        assert (match["class_name"] == "hem") == match["subject"].startswith("H")
        folds_of.setdefault(match["subject"], set()).add(path.parents[1].name)
    assert len(folds_of) == 6
    assert all(len(folds) == 1 for folds in folds_of.values())
    for fold in ("fold_0", "fold_1", "fold_2"):
        for class_name in CLASS_NAMES:
            assert list((tiny / "C-NMC_training_data" / fold / class_name).iterdir())


def test_images_are_24_bit_bmps_of_450_px(tiny: Path) -> None:
    for path in tiny.rglob("*.bmp"):
        data = path.read_bytes()
        assert len(data) == sample.IMAGE_BYTES == 608_454  # as in C-NMC
        assert data[:2] == b"BM"
        assert int.from_bytes(data[28:30], "little") == 24
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape == (450, 450, 3)


def test_the_labels_csv_lists_the_test_images_with_other_subjects(tiny: Path) -> None:
    with (tiny / "C-NMC_test_prelim_phase_data_labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["Patient_ID", "new_names", "labels"]
    on_disk = {path.name for path in (tiny / "C-NMC_test_prelim_phase_data").iterdir()}
    assert {row["new_names"] for row in rows} == on_disk == {"1.bmp", "2.bmp", "3.bmp"}
    assert {row["labels"] for row in rows} == {"0", "1"}
    training = {NAME.fullmatch(path.name)["subject"] for path in (tiny / "C-NMC_training_data").rglob("*.bmp")}
    for row in rows:
        match = NAME.fullmatch(row["Patient_ID"])
        assert CLASS_NAMES[int(row["labels"])] == match["class_name"]
        assert match["subject"] not in training


def test_one_pair_of_subjects_shares_two_images_across_folders(tiny: Path) -> None:
    paths: dict[bytes, list[Path]] = {}
    for path in tiny.rglob("*.bmp"):
        paths.setdefault(path.read_bytes(), []).append(path)
    shared = [sorted(same) for same in paths.values() if len(same) > 1]
    assert sorted([p.name for p in same] for same in shared) == [
        ["UID_1_1_1_all.bmp", "UID_2_1_1_all.bmp"],
        ["UID_1_1_2_all.bmp", "UID_2_1_2_all.bmp"],
    ]
    assert all(first.parents[1] != second.parents[1] for first, second in shared)


def test_the_bytes_depend_on_the_seed_only(tiny: Path, tmp_path: Path) -> None:
    sample.generate(tmp_path / "again", seed=7, **TINY)
    sample.generate(tmp_path / "other", seed=8, **TINY)
    assert _digest(tmp_path / "again") == _digest(tiny)
    assert _digest(tmp_path / "other") != _digest(tiny)


def test_an_image_does_not_depend_on_the_number_of_images(tiny: Path, tmp_path: Path) -> None:
    sample.generate(tmp_path / "more", seed=7, **{**TINY, "images_per_subject": 3})
    for path in (tiny / "C-NMC_training_data").rglob("*.bmp"):
        assert (tmp_path / "more" / path.relative_to(tiny)).read_bytes() == path.read_bytes()


def test_default_numbers_of_subjects_and_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = np.zeros((2, 2, 3), np.uint8)
    monkeypatch.setattr(sample, "draw_cell", lambda subject, rng: blank)
    sample.generate(tmp_path / "set")
    names = [path.name for path in (tmp_path / "set" / "C-NMC_training_data").rglob("*.bmp")]
    assert Counter(NAME.fullmatch(name)["class_name"] for name in names) == {"all": 168, "hem": 120}
    assert len({NAME.fullmatch(name)["subject"] for name in names}) == 24
    assert len(list((tmp_path / "set" / "C-NMC_test_prelim_phase_data").iterdir())) == 48


def test_cell_sizes_match_cnmc(cells: dict[str, NDArray]) -> None:
    median, high = np.percentile(cells["square_px"], [50, 90])
    assert median == pytest.approx(234, abs=12)  # over 517 images of C-NMC
    assert high == pytest.approx(281, abs=15)
    assert cells["square_px"].max() <= cell.SIDE_PX


def test_colours_resemble_the_real_cells(cells: dict[str, NDArray]) -> None:
    if "LEUKEMIA_DATA" not in os.environ:
        pytest.skip("LEUKEMIA_DATA is unset: no real images available")
    paths = sorted(Path(os.environ["LEUKEMIA_DATA"]).glob("cnmc/C-NMC_training_data/*/*/*.bmp"))[::4]
    assert paths
    real = [_features(cv2.imread(str(path))[..., ::-1]) for path in paths]
    for name in ("red", "green", "blue"):
        assert cells[name].mean() == pytest.approx(np.mean([row[name] for row in real]), rel=0.2)


def test_only_pixels_outside_the_cell_are_black() -> None:
    person = cell.subjects(0, ALL, 1, 3)[0]
    image = cell.draw_cell(person, np.random.default_rng(5))
    inside = image.any(axis=2)
    assert (image[inside] > 0).all()
    assert cv2.connectedComponents(inside.astype(np.uint8))[0] == 2
    assert not inside[0].any()
    assert 0.05 < inside.mean() < 0.6


@pytest.mark.parametrize("name", PLAIN)
def test_no_single_threshold_separates_the_classes(cells: dict[str, NDArray], name: str) -> None:
    assert _best_threshold(cells[name], cells["label"]) < 0.80


def test_a_few_features_together_separate_the_classes_of_unseen_subjects(cells: dict[str, NDArray]) -> None:
    names = ("area", "fine_texture", "coarse_texture", "rim_brightness", "roundness")
    features = np.stack([cells[name] for name in names], axis=1)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced")),
        RandomForestClassifier(100, class_weight="balanced", random_state=0),
    ):
        predicted = cross_val_predict(model, features, cells["label"], groups=cells["subject"], cv=folds)
        assert 0.80 <= balanced_accuracy_score(cells["label"], predicted) <= 0.97


def test_colour_reveals_the_subject(cells: dict[str, NDArray]) -> None:
    colours = np.stack([cells[name] for name in ("red", "green", "blue")], axis=1)
    odd = np.arange(len(colours)) % 2 == 1
    model = make_pipeline(StandardScaler(), NearestCentroid()).fit(colours[odd], cells["subject"][odd])
    # One in 24 by chance.
    assert model.score(colours[~odd], cells["subject"][~odd]) > 0.3


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("seed", -1, 0), ("num_subjects", 5, 6), ("images_per_subject", 1, 2), ("num_test_images", 1, 2)],
)
def test_a_number_out_of_range_is_rejected(tmp_path: Path, name: str, value: int, least: int) -> None:
    with pytest.raises(UserError, match=f"expected {name} of at least {least}, got {value}"):
        sample.generate(tmp_path / "set", **{**TINY, name: value})
    assert not list(tmp_path.iterdir())


def test_a_link_to_nothing_is_rejected_before_images_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "set").symlink_to(tmp_path / "absent")
    with pytest.raises(UserError, match="already exists; remove it"):
        sample.generate(tmp_path / "set", **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_existing_folder_is_rejected(tiny: Path) -> None:
    before = _digest(tiny)
    with pytest.raises(UserError, match="already exists; remove it"):
        sample.generate(tiny, **TINY)
    assert _digest(tiny) == before


def test_a_folder_that_another_process_creates_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(root: Path, *arguments: object) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "notes.txt").write_text("mine")

    monkeypatch.setattr(sample, "_write_training", lambda *arguments: None)
    monkeypatch.setattr(sample, "_write_test", create)
    with pytest.raises(UserError, match=r"set already exists; remove it, or give a new folder"):
        sample.generate(tmp_path / "set")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["notes.txt", "set"]


def test_a_root_that_is_no_new_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected the name of a new folder, got .*new/\.\."):
        sample.generate(tmp_path / "new" / "..")
    assert list(tmp_path.iterdir()) == []


def test_disk_space_is_checked_before_the_first_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[int] = []

    def full(folder: Path, num_bytes: int, what: str) -> None:
        requested.append(num_bytes)
        raise UserError(f"not enough disk space for {what}")

    monkeypatch.setattr(sample, "require_space", full)
    with pytest.raises(UserError, match="not enough disk space for the sample set"):
        sample.generate(tmp_path / "set")
    assert 204e6 < requested[0] < 215e6
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(subject: cell.Subject, rng: np.random.Generator) -> NDArray[np.uint8]:
        raise RuntimeError("half-way")

    monkeypatch.setattr(sample, "draw_cell", fail)
    with pytest.raises(RuntimeError, match="half-way"):
        sample.generate(tmp_path / "set", **TINY)
    assert not list(tmp_path.iterdir())


def test_the_default_set_is_generated_once_and_leftovers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "Zwischen ablage ü"))
    leftover = files.cache_dir() / f".{sample.SET_NAME}.0123abcd.tmp"
    leftover.mkdir()
    generated: list[Path] = []

    def generate(root: Path) -> None:
        generated.append(root)
        root.mkdir()

    monkeypatch.setattr(sample, "generate", generate)
    first, second = sample.sample_set(), sample.sample_set()
    assert first == second == files.cache_dir() / "sample-v1"
    assert generated == [first]
    assert not leftover.exists()


def test_the_command_creates_the_folder_and_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sample, "draw_cell", lambda subject, rng: np.zeros((2, 2, 3), np.uint8))
    assert sample_command.main(["--root", str(tmp_path / "deep" / "set")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "deep" / "set")
    assert (tmp_path / "deep" / "set" / "C-NMC_training_data").is_dir()


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        sample_command.main(["--help"])
    assert caught.value.code == 0
    assert "example:\n  python -m leukemia.sample --root" in capsys.readouterr().out
