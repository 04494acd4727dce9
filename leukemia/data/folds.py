"""Folds: stratified splits, grouped by subject; written once to ``splits.json`` and then reused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ConfigDict
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import read_record, write_record, wrong_value
from leukemia.config.protocol import Protocol
from leukemia.config.results import fold_name
from leukemia.data.balance import MIN_FOLDS, FoldBalance, balance_of, describe_balance, fewer_folds
from leukemia.data.catalog import Catalog
from leukemia.data.given import given_folds
from leukemia.data.versions import distinct_images


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One split, as sorted image ids."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    training: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """All folds of a study: the content of ``splits.json``."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    protocol: Protocol
    seed: int
    fingerprint: str
    """Fingerprint of the catalogue that was split."""

    folds: tuple[Fold, ...]
    balance: tuple[FoldBalance, ...] | None = None
    """Of the validation images of each fold; None in files of older versions."""

    subclasses: dict[str, tuple[str, ...]] | None = None
    """Ids of the images of each subclass, sorted; None if the data have none."""

    def sha256(self) -> str:
        """SHA-256 of the JSON without balance and subclasses, which are no part of it: it identifies the split."""
        split = dataclasses.asdict(self)
        del split["balance"], split["subclasses"]
        return hashlib.sha256(json.dumps(split, sort_keys=True).encode()).hexdigest()

    def rows(self, catalog: Catalog) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Per fold: training rows and validation rows of the catalogue's table, int64, ascending.

        Raises:
            UserError: a fold does not contain each image of the catalogue exactly once.
        """
        row_of = pd.Series(catalog.table.index, index=catalog.table["image_id"])
        known = sorted(row_of.index)
        for number, fold in enumerate(self.folds):
            if sorted([*fold.training, *fold.validation]) != known:
                raise UserError(
                    f"{fold_name(number)} does not contain every image of {catalog.root} exactly once; "
                    "restore the split from a backup"
                )
            yield (
                np.sort(row_of[list(fold.training)].to_numpy(dtype=np.int64)),
                np.sort(row_of[list(fold.validation)].to_numpy(dtype=np.int64)),
            )

    def validation(self, catalog: Catalog) -> list[pd.DataFrame]:
        """Per fold, the rows of the catalogue's table that are validation images, in the table's order.

        Raises:
            UserError: as for ``rows``.
        """
        return [catalog.table.loc[rows] for _, rows in self.rows(catalog)]

    def check_balance(self, path: Path, catalog: Catalog) -> None:
        """Check the balance in the file ``path``, if it has one, against the catalogue.

        Raises:
            UserError: it differs.
        """
        if self.balance is None:
            return
        expected = balance_of(self.validation(catalog))
        if len(self.balance) != len(expected):
            raise wrong_value(path, "balance", f"{len(expected)} folds", len(self.balance))
        for number, (wanted, found) in enumerate(zip(expected, self.balance, strict=True)):
            if found != wanted:
                raise wrong_value(path, f"balance.{number}", dataclasses.asdict(wanted), dataclasses.asdict(found))

    def save(self, path: Path) -> None:
        """Write ``splits.json``."""
        content = dataclasses.asdict(self)
        if self.subclasses is None:
            del content["subclasses"]
        write_record(path, content)

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> Splits:
        """Read ``splits.json``.

        Raises:
            MissingFile: the file does not exist.
            UserError: the split is of data with another fingerprint, or the file is damaged.
        """
        if not path.is_file():
            raise MissingFile(f"no split at {path}; it is written when a study starts")
        splits = read_record(cls, path)
        if splits.fingerprint != fingerprint:
            raise UserError(
                f"{path} belongs to other data: it was made for fingerprint {splits.fingerprint[:16]}, "
                f"but the data have {fingerprint[:16]}; give the data that the study was started with"
            )
        return splits


def choose_protocol(catalog: Catalog, wanted: Protocol | None) -> Protocol:
    """The requested protocol; by default ``given`` if the data's split is kept, ``grouped`` if subjects are known, else
    ``random-cell``.

    Raises:
        UserError: ``grouped`` is requested but subjects are unknown, or a given split would be kept and not kept.
    """
    if wanted is None:
        if catalog.is_split:
            return "given"
        return "grouped" if "grouped" in catalog.protocols else "random-cell"
    if (wanted == "given") != catalog.is_split:
        raise UserError(
            f"--protocol {wanted}: --split-column keeps the split of the data; leave one of the two options out"
            if catalog.is_split
            else "--protocol given: expected a split of the data with validation images or folds; give --split-column"
        )
    if wanted not in catalog.protocols:
        raise UserError(
            f"--protocol grouped: {catalog.root} has no subjects; add a subject column, or use --subject-column, "
            "--subject-pattern, --subjects-from or --protocol random-cell"
        )
    return wanted


def choose_folds(catalog: Catalog, wanted: int | None, default: int) -> int:
    """The requested number of folds, or the default; that of the data's own split if it is kept.

    Raises:
        UserError: another number than that is requested.
    """
    if not catalog.is_split:
        return default if wanted is None else wanted
    number = len(given_folds(catalog.table))
    if wanted not in (None, number):
        raise UserError(
            f"--folds: the split that --split-column keeps has {number} {'fold' if number == 1 else 'folds'} of "
            f"validation images, got {wanted}; leave --folds out, or --split-column to split all images together"
        )
    return number


def make_splits(catalog: Catalog, num_folds: int, seed: int, protocol: Protocol) -> Splits:
    """Split a labelled catalogue into folds, stratified by class.

    ``grouped`` keeps each group (subjects joined by shared images) on one side. ``random-cell`` splits distinct images:
    pixel-identical copies stay together, since a copy on the other side would leak, and so do versions of one original
    if subjects are unknown. ``given`` keeps the data's own split, as it is, whatever ``num_folds``.

    Raises:
        UserError: a class has fewer groups than there are folds, or a fold would lack a class.
    """
    if protocol == "given":
        return _splits_of(catalog, given_folds(catalog.table), seed, protocol, "correct the split of the data")
    if num_folds < MIN_FOLDS:
        raise UserError(f"--folds: expected at least {MIN_FOLDS}, got {num_folds}")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed: expected 0 to {2**32 - 1}, got {seed}")
    table = catalog.table
    units = table["group"] if protocol == "grouped" else distinct_images(table)
    name = "groups of subjects" if protocol == "grouped" else "distinct images"
    for label, class_name in enumerate(catalog.class_names):
        num_units = units[table["label"] == label].nunique()
        if num_units < num_folds:
            raise UserError(
                f"{num_folds} folds need at least {num_folds} {name} of class {label} ({class_name}), "
                f"found {num_units} in {catalog.root}; {fewer_folds(num_folds, 'more data')}"
            )
    split = _grouped if protocol == "grouped" else _by_image
    masks = split(table, units, num_folds, seed)
    return _splits_of(catalog, masks, seed, protocol, fewer_folds(num_folds, "another --seed"))


def _splits_of(catalog: Catalog, masks: Sequence[np.ndarray], seed: int, protocol: Protocol, advice: str) -> Splits:
    """The folds with these validation images, bool (n,) each; refused with the advice if a side lacks a class."""
    table = catalog.table
    ids = table["image_id"].to_numpy()
    folds = tuple(
        Fold(training=tuple(sorted(ids[~validation])), validation=tuple(sorted(ids[validation])))
        for validation in masks
    )
    for number, validation in enumerate(masks):
        if table["label"][validation].nunique() < 2 or table["label"][~validation].nunique() < 2:
            raise UserError(f"{fold_name(number)} of {len(masks)} would have only one class on one side; {advice}")
    balance = balance_of([table[validation] for validation in masks])
    return Splits(
        protocol=protocol,
        seed=seed,
        fingerprint=catalog.fingerprint,
        folds=folds,
        balance=balance,
        subclasses=_subclasses(table),
    )


def describe_split(catalog: Catalog, num_folds: int, seed: int) -> list[str]:
    """Lines about a labelled catalogue's split under the default protocol: its balance, or why it cannot be split."""
    protocol = choose_protocol(catalog, None)
    num_folds = choose_folds(catalog, None, num_folds)
    try:
        splits = make_splits(catalog, num_folds, seed, protocol)
    except UserError as error:
        return [f"no search with {num_folds} folds is possible: {error} (a test set is never split)"]
    return describe_balance(splits.validation(catalog), protocol)


def _subclasses(table: pd.DataFrame) -> dict[str, tuple[str, ...]] | None:
    known = table[table["subclass"].notna()]
    # Sorted by id, as the table is.
    return {str(name): tuple(rows["image_id"]) for name, rows in known.groupby("subclass")} or None


def _grouped(table: pd.DataFrame, groups: pd.Series, num_folds: int, seed: int) -> list[np.ndarray]:
    splitter = StratifiedGroupKFold(n_splits=num_folds, shuffle=True, random_state=seed)
    return [_mask(len(table), rows) for _, rows in splitter.split(table, table["label"], groups)]


def _by_image(table: pd.DataFrame, images: pd.Series, num_folds: int, seed: int) -> list[np.ndarray]:
    distinct = images[~images.duplicated()]
    splitter = StratifiedKFold(n_splits=num_folds, shuffle=True, random_state=seed)
    return [
        images.isin(distinct.iloc[rows]).to_numpy()
        for _, rows in splitter.split(distinct, table["label"][distinct.index])
    ]


def _mask(length: int, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(length, dtype=bool)
    mask[rows] = True
    return mask
