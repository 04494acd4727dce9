"""The balance of every split is stated, and folds that differ too much name the subject that is too large."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leukemia.base.errors import UserError
from leukemia.base.record import write_record
from leukemia.catalog import main
from leukemia.data.balance import balance_of, describe_balance
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits, describe_split, make_splits


def catalog_of(sizes: list[tuple[str, int, int]]) -> Catalog:
    """A catalogue of (subject, label, number of images)."""
    rows = [
        (f"{subject}/{number}", label, subject, subject, f"{subject}-{number}")
        for subject, label, size in sizes
        for number in range(size)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "label", "subject", "group", "pixel_sha256"])
    table = table.sort_values("image_id", ignore_index=True).assign(subclass=None)
    return Catalog(table=table, root=Path("cells"), layout="csv", fingerprint="f" * 64, duplicates=())


def c_nmc_like(seed: int) -> Catalog:
    """73 subjects of unequal size, 47 leukemic, as in C-NMC."""
    generator = np.random.default_rng(seed)
    sizes = np.maximum(5, generator.lognormal(4.5, 0.8, 73)).astype(int)
    return catalog_of([(f"{number}", int(number < 47), int(size)) for number, size in enumerate(sizes)])


@pytest.mark.parametrize("seed", range(3))
def test_grouped_folds_are_stratified(seed: int) -> None:
    """scikit-learn before 1.8 gives shares from 0.35 to 0.88 here."""
    splits = make_splits(c_nmc_like(seed), 5, seed, "grouped")
    assert splits.balance is not None
    shares = [fold.leukemic for fold in splits.balance]
    assert max(shares) - min(shares) < 0.05
    assert sum(fold.subjects or 0 for fold in splits.balance) == 73


def test_the_balance_agrees_with_counting() -> None:
    catalog = c_nmc_like(0)
    splits = make_splits(catalog, 4, 0, "grouped")
    labels = dict(zip(catalog.table["image_id"], catalog.table["label"], strict=True))
    assert splits.balance is not None
    for fold, found in zip(splits.folds, splits.balance, strict=True):
        assert found.images == len(fold.validation)
        assert found.subjects == len({name.partition("/")[0] for name in fold.validation})
        assert found.leukemic == sum(labels[name] for name in fold.validation) / len(fold.validation)
    lines = describe_balance(splits.validation(catalog), "grouped")
    assert lines[0].startswith(f"folds 1 to 4: {splits.balance[0].images}, ")
    assert len(lines) == 1


def test_a_subject_that_is_too_large_is_named() -> None:
    sizes = [("giant", 1, 300), *((f"l{n}", 1, 10) for n in range(9)), *((f"n{n}", 0, 20) for n in range(10))]
    catalog = catalog_of(sizes)
    lines = describe_split(catalog, 5, 0)
    assert len(lines) == 2
    assert "subject giant is too large, with 300 leukemic images, where an even fold has 78; use fewer" in lines[1]
    assert lines[1].startswith("warning: the share of leukemic images differs by 0.")
    # The same images split at random are balanced.
    assert len(describe_balance(make_splits(catalog, 5, 0, "random-cell").validation(catalog), "random-cell")) == 1


def test_equal_subjects_are_few_not_too_large() -> None:
    """With two folds, fewer are not possible."""
    catalog = catalog_of([(f"{label}{n}", label, 4) for label, number in ((0, 3), (1, 7)) for n in range(number)])
    line, warning = describe_split(catalog, 2, 0)
    assert line.startswith("folds 1 to 2: ")
    assert warning.endswith("so their scores are hard to compare: 10 subjects are few for 2 folds; use more subjects")
    (line,) = describe_split(catalog_of([("a", 0, 5), ("b", 1, 5)]), 2, 0)
    assert "found 1 in cells; use more data (" in line


def test_few_images_split_at_random() -> None:
    table = pd.DataFrame({"label": [0, 1, 1, 0, 1], "subject": None, "group": list("abcde")})
    line, warning = describe_balance([table[:3], table[3:]], "random-cell")
    assert line == "folds 1 to 2: 3, 2 images; 0.667, 0.500 leukemic"
    assert warning.endswith("so their scores are hard to compare: 5 images are few for 2 folds")


def test_a_split_that_is_impossible_says_why() -> None:
    (line,) = describe_split(catalog_of([("a", 0, 5), ("b", 1, 5)]), 5, 0)
    assert line.startswith("no search with 5 folds is possible: 5 folds need at least 5 groups of subjects of class 0 ")


def test_the_balance_is_stored_and_the_hash_is_that_of_the_split(tmp_path: Path) -> None:
    catalog, path = c_nmc_like(0), tmp_path / "splits.json"
    splits = make_splits(catalog, 3, 0, "grouped")
    splits.save(path)
    content = json.loads(path.read_text())
    assert content["balance"][0].keys() == {"images", "subjects", "leukemic"}
    loaded = Splits.load(path, catalog.fingerprint)
    assert loaded == splits
    loaded.check_balance(path, catalog)
    # A file of an older version has no balance, and the same hash.
    del content["balance"]
    write_record(path, content)
    old = Splits.load(path, catalog.fingerprint)
    assert old.balance is None
    assert old.sha256() == splits.sha256()
    old.check_balance(path, catalog)


def test_a_changed_balance_is_refused() -> None:
    catalog, path = c_nmc_like(0), Path("splits.json")
    splits = make_splits(catalog, 3, 0, "grouped")
    assert splits.balance is not None
    first, *others = splits.balance
    changed = dataclasses.replace(splits, balance=(dataclasses.replace(first, images=first.images + 1), *others))
    with pytest.raises(UserError, match=r"^splits.json: field 'balance.0': expected .*'images': \d+, .* got .*restore"):
        changed.check_balance(path, catalog)
    with pytest.raises(UserError, match=r"^splits.json: field 'balance': expected 3 folds, got 2; restore"):
        dataclasses.replace(splits, balance=tuple(others)).check_balance(path, catalog)


def test_unknown_subjects_are_not_counted() -> None:
    tables = [pd.DataFrame({"label": [0, 1], "subject": [unknown] * 2}) for unknown in (None, "")]
    assert [fold.subjects for fold in balance_of(tables)] == [None, None]


def test_the_catalogue_states_the_balance(tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tiny_folder)]) == 0
    assert "split:       folds 1 to 5: 12, 12, 8, 8, 8 images; 3, 3, 2, 2, 2 subjects; 0." in capsys.readouterr().out
