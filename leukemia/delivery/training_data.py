"""The data that a study searched on, opened again for its winner."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import Splits
from leukemia.data.images import View
from leukemia.data.location import locate, uri_of
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study


def training_data(
    study: Study, best: Best, *, data: str | None, base: Path | None, subjects_from: Path | None
) -> Catalog:
    """The data that the search saw, and no others.

    Args:
        data: where they are now; None: where the search had them. So with ``base`` and ``subjects_from``, which are as
            in ``read_catalog``.

    Raises:
        UserError: other data than the search's, or another split than the winner's.
    """
    searched_base, searched_subjects = best.data.base, best.data.subjects_from
    catalog = read_catalog(
        locate(uri_of(data) if data else best.data.uri),
        base=base or (Path(searched_base) if searched_base else None),
        subjects_from=subjects_from or (Path(searched_subjects) if searched_subjects else None),
    )
    if catalog.fingerprint != best.data.fingerprint:
        raise UserError(
            f"--data {catalog.root}: the search ran on other data (fingerprint {best.data.fingerprint[:16]}, "
            f"here {catalog.fingerprint[:16]}); give the data that it ran on"
        )
    if Splits.load(study.folder / layout.SPLITS, catalog.fingerprint).sha256() != best.splits_sha256:
        raise UserError(
            f"{study.folder / layout.SPLITS} is not the split that {layout.BEST} was scored on; restore it from a "
            "backup"
        )
    return catalog


def view_of(recipe: Recipe) -> View:
    """What a resolved recipe's network sees of an image."""
    assert recipe.data.crop_px is not None
    assert recipe.data.size_px is not None
    return View(crop_px=recipe.data.crop_px, size_px=recipe.data.size_px)
