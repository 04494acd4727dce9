"""Some of the images of a catalogue, as a catalogue."""

from __future__ import annotations

import dataclasses

import pandas as pd

from leukemia.data.catalog import Catalog, duplicates_of, fingerprint_of


def part_of(catalog: Catalog, rows: pd.Series) -> Catalog:
    """The catalogue of some of the images. Their groups stay, even if the images that joined two subjects are gone.

    Args:
        rows: bool (n,), True for the images to keep, in the order of the catalogue's rows.
    """
    table = catalog.table[rows].reset_index(drop=True)
    return dataclasses.replace(catalog, table=table, fingerprint=fingerprint_of(table), duplicates=duplicates_of(table))
