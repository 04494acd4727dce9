"""Load the data of a study for its winner."""

from __future__ import annotations

import dataclasses

from leukemia.base.errors import UserError
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import Splits
from leukemia.data.location import locate, uri_of
from leukemia.data.reading import OTHER_SUBJECTS, Reading
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study


def load_training_data(study: Study, best: Best, *, data: str | None, reading: Reading) -> Catalog:
    """The catalogue of the study's data, checked against its fingerprint and splits.

    Args:
        data: current location; None: as recorded in the study.
        reading: options that replace those recorded in the study.

    Raises:
        UserError: the data or the splits are not those of the study.
    """
    best.data.require_same_split(reading)
    catalog = read_catalog(
        locate(uri_of(data) if data else best.data.uri),
        dataclasses.replace(best.data, **reading.given()),
        recipe=best.recipe,
    )
    best.data.require_same_data(catalog.fingerprint, reading)
    if catalog.fingerprint != best.data.fingerprint:
        raise UserError(
            f"--data {catalog.root}: not the data of the search (expected fingerprint {best.data.fingerprint[:16]}, "
            f"got {catalog.fingerprint[:16]}); give the data that the search used, or {OTHER_SUBJECTS}"
        )
    path = study.folder / layout.SPLITS
    splits = Splits.load(path, catalog.fingerprint)
    if splits.sha256() != best.splits_sha256:
        raise UserError(f"{path} is not the split that {layout.BEST} was scored on; restore it from a backup")
    splits.check_balance(path, catalog)
    return catalog
