"""Folds: no group on both sides, both classes in every fold, every image validated once; ``splits.json``."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.protocol import Protocol
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits, choose_protocol, make_splits


def catalog_of(rows: list[tuple[str, int, str | None, str, str]]) -> Catalog:
    """A catalogue of (image id, label, subject, group, pixel hash), which is all that folds need."""
    table = pd.DataFrame(rows, columns=["image_id", "label", "subject", "group", "pixel_sha256"])
    table = table.sort_values("image_id", ignore_index=True).assign(subclass=None)
    return Catalog(table=table, root=Path("cells"), layout="csv", fingerprint="f" * 64, duplicates=())


@pytest.fixture
def patients() -> Catalog:
    """120 images of 24 subjects of unequal size, a third normal; subjects 0 and 1 share a group."""
    generator = np.random.default_rng(0)
    rows = []
    for subject in range(24):
        for number in range(int(generator.integers(2, 9))):
            group = "0+1" if subject < 2 else str(subject)
            rows.append((f"{subject:02d}/{number}", int(subject % 3 != 2), str(subject), group, f"{subject}-{number}"))
    return catalog_of(rows)


@pytest.fixture
def cells() -> Catalog:
    """40 images without subjects, the last five of each class copies of the first five."""
    rows = []
    for label in (0, 1):
        for number in range(20):
            pixels = f"{label}-{number % 15}"
            rows.append((f"{label}/{number:02d}", label, None, pixels, pixels))
    return catalog_of(rows)


@pytest.mark.parametrize("num_folds", [2, 5])
def test_no_group_is_on_both_sides(patients: Catalog, num_folds: int) -> None:
    groups = patients.table["group"].to_numpy()
    subjects = patients.table["subject"].to_numpy()
    for training, validation in make_splits(patients, num_folds, 0, "grouped").rows(patients):
        assert not set(groups[training]) & set(groups[validation])
        assert not set(subjects[training]) & set(subjects[validation])


@pytest.mark.parametrize("protocol", ["grouped", "random-cell"])
def test_every_image_is_validated_once_and_trained_on_in_the_other_folds(patients: Catalog, protocol: Protocol) -> None:
    splits = make_splits(patients, 4, 3, protocol)
    validated = [image_id for fold in splits.folds for image_id in fold.validation]
    assert Counter(validated) == Counter(patients.table["image_id"])
    for fold, (training, validation) in zip(splits.folds, splits.rows(patients), strict=True):
        assert np.array_equal(np.sort(np.concatenate([training, validation])), np.arange(len(patients.table)))
        assert list(patients.table["image_id"][validation]) == list(fold.validation) == sorted(fold.validation)
        assert training.dtype == validation.dtype == np.int64


@pytest.mark.parametrize(("protocol", "slack"), [("grouped", 0.15), ("random-cell", 0.03)])
def test_folds_are_stratified_by_class(patients: Catalog, protocol: Protocol, slack: float) -> None:
    labels = patients.table["label"].to_numpy()
    for _, validation in make_splits(patients, 4, 0, protocol).rows(patients):
        assert abs(labels[validation].mean() - labels.mean()) < slack


@pytest.mark.parametrize("seed", range(3))
def test_random_cell_keeps_copies_together(cells: Catalog, seed: int) -> None:
    pixels = cells.table["pixel_sha256"].to_numpy()
    validated: list[int] = []
    for training, validation in make_splits(cells, 3, seed, "random-cell").rows(cells):
        assert not set(pixels[training]) & set(pixels[validation])
        validated += validation.tolist()
    assert sorted(validated) == list(range(40))


@pytest.mark.parametrize("protocol", ["grouped", "random-cell"])
def test_the_split_depends_on_the_seed(patients: Catalog, protocol: Protocol) -> None:
    assert make_splits(patients, 4, 1, protocol) == make_splits(patients, 4, 1, protocol)
    assert make_splits(patients, 4, 1, protocol).folds != make_splits(patients, 4, 2, protocol).folds


def test_protocol_defaults_to_grouped_if_subjects_are_known(patients: Catalog, cells: Catalog) -> None:
    assert choose_protocol(patients, None) == "grouped"
    assert choose_protocol(patients, "random-cell") == "random-cell"
    assert choose_protocol(cells, None) == "random-cell"
    with pytest.raises(UserError, match=r"^--protocol grouped: cells has no subjects; add a subject column"):
        choose_protocol(cells, "grouped")


def test_too_few_groups_or_images_to_split(patients: Catalog, cells: Catalog) -> None:
    with pytest.raises(
        UserError,
        match=r"^9 folds need at least 9 groups of subjects of class 0 \(normal\), found 8 in cells",
    ):
        make_splits(patients, 9, 0, "grouped")
    with pytest.raises(UserError, match=r"^16 folds need at least 16 distinct images of class 0 \(normal\), found 15"):
        make_splits(cells, 16, 0, "random-cell")
    with pytest.raises(UserError, match=r"^--folds: expected at least 2, got 1$"):
        make_splits(cells, 1, 0, "random-cell")
    with pytest.raises(UserError, match=r"^--seed: expected 0 to 4294967295, got 4294967296$"):
        make_splits(cells, 2, 2**32, "random-cell")


def test_a_fold_with_a_single_class_is_rejected() -> None:
    # Each class has two groups, but one normal image is in a leukemic group.
    rows = [("a0", 1, "a", "a", "a0"), ("a1", 0, "a", "a", "a1"), ("b0", 1, "b", "b", "b0"), ("c0", 0, "c", "c", "c0")]
    with pytest.raises(UserError, match=r"^fold [01] of 2 would have only one class on one side; use another --seed$"):
        make_splits(catalog_of(rows), 2, 0, "grouped")


def test_splits_round_trip_through_the_file(patients: Catalog, tmp_path: Path) -> None:
    splits, path = make_splits(patients, 3, 5, "grouped"), tmp_path / "splits.json"
    splits.save(path)
    loaded = Splits.load(path, patients.fingerprint)
    assert loaded == splits
    assert loaded.sha256() == splits.sha256()
    assert loaded.sha256() != dataclasses.replace(splits, seed=6).sha256()
    content = json.loads(path.read_text())
    assert (content["protocol"], content["seed"], content["fingerprint"]) == ("grouped", 5, patients.fingerprint)


def test_splits_of_other_data(patients: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    make_splits(patients, 3, 5, "grouped").save(path)
    with pytest.raises(
        UserError, match=r"belongs to other data: it was made for fingerprint ffffffffffffffff, .* 0000"
    ):
        Splits.load(path, "0" * 64)
    with pytest.raises(MissingFile, match=r"no split at .*none.json; it is written when a study starts"):
        Splits.load(tmp_path / "none.json", patients.fingerprint)


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "{}", "null", '{"folds": [{"training": ["a"]}]}', '{"folds": 3}', '{"folds": []}'),
        '{"protocol": "grouped", "seed": 0, "fingerprint": null, "folds": []}',
        '{"protocol": "grouped", "seed": 0, "fingerprint": "f", "folds": [], "unknown": 1}',
    ],
)
def test_damaged_splits(tmp_path: Path, content: str) -> None:
    path = tmp_path / "splits.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"splits.json: .*; restore the file from a backup"):
        Splits.load(path, "f" * 64)


def test_a_split_with_missing_or_repeated_images(patients: Catalog) -> None:
    splits = make_splits(patients, 3, 5, "grouped")
    first, *others = splits.folds
    incomplete = dataclasses.replace(first, training=first.training[1:])
    leaking = dataclasses.replace(first, training=(*first.training, first.validation[0]))
    for fold in (incomplete, leaking):
        changed = dataclasses.replace(splits, folds=(fold, *others))
        with pytest.raises(UserError, match=r"^fold 1 does not contain every image of cells exactly once; restore"):
            list(changed.rows(patients))
