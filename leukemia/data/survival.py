"""How much of the images survives in a view, as text."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Collection

from leukemia.base.quantity import are
from leukemia.config.fitting import LEAST_KEPT, Size, kept_share, median_kept
from leukemia.data.catalog import Catalog
from leukemia.data.view import View


def describe_survival(view: View, sizes: Collection[Size]) -> str:
    """What a view keeps of images of these sizes, as a part of a sentence: the median and the worst share of the area.

    >>> describe_survival(View(384, 224), [(450, 450)])
    'the central 384 px, resized to 224 px: 73 % of the median image, 73 % of the worst (450x450 px)'
    >>> describe_survival(View(None, 64), [(300, 100), (640, 480), (40, 40)])
    'whole images, scaled down to 64 px: 4.69 times smaller for the median image, 10 times for the largest (640x480 px)'
    """
    if view.crop_px is None:
        largest = max(sizes, key=lambda size: (max(size), size))
        longer = (statistics.median(map(max, sizes)), max(largest))
        median, most = (f"{max(1.0, side_px / view.size_px):.3g}" for side_px in longer)
        return (
            f"whole images, scaled down to {view.size_px} px: {median} times smaller for the median image, {most} "
            f"times for the largest ({_named(largest)})"
        )
    worst = min(sizes, key=lambda size: kept_share(size, view.crop_px))
    resized = "" if view.size_px == view.crop_px else f", resized to {view.size_px} px"
    kept, least = (_percent(share) for share in (median_kept(sizes, view.crop_px), kept_share(worst, view.crop_px)))
    return f"the central {view.crop_px} px{resized}: {kept} of the median image, {least} of the worst ({_named(worst)})"


def viewed(catalog: Catalog, view: View) -> Catalog:
    """The catalogue with notes on images that are padded in a view, or of which little is left."""
    return dataclasses.replace(catalog, notes=(*catalog.notes, *survival_notes(view, catalog.sizes)))


def survival_notes(view: View, sizes: Collection[Size]) -> tuple[str, ...]:
    """What a user must know about images of these sizes in a view, one line each: padding and heavy losses."""
    notes, small = [], [size for size in sizes if view.is_small(*size)]
    if small:
        notes.append(
            f"{len(small)} of {len(sizes)} images {are(len(small))} smaller than the {view.least} (the smallest is "
            f"{_named(min(small, key=min))}): padded with black; data.small=refuse refuses them"
        )
    kept = median_kept(sizes, view.crop_px)
    if kept < LEAST_KEPT:
        notes.append(
            f"warning: the crop of {view.crop_px} px keeps {_percent(kept)} of the median image's area; training with "
            "data.fit=resize takes whole images"
        )
    return tuple(notes)


def _percent(share: float) -> str:
    """A share with at least one digit that is not 0.

    >>> _percent(0.7282), _percent(0.0293), _percent(0.0012)
    ('73 %', '2.9 %', '0.12 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def _named(size: Size) -> str:
    return f"{size[0]}x{size[1]} px"
