"""Words before the ids of patients, such as those of hospitals, of which each has ids of its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence

from leukemia.data.class_hints import hinted_label
from leukemia.data.counters import Place
from leukemia.data.layouts.folder_levels import is_centre, is_view

LEAST_PER_SUBJECT = 2
"""So many images have most patients, at least on average."""

_DIGIT = re.compile(r"\d")


def is_site(place: Place, known: Collection[str]) -> bool:
    """Whether the values of a place may be sites: words without digits, or called for hospitals.

    Args:
        known: values that stand for classes or for parts of a split, of which a patient may have several.

    >>> [
    ...     is_site(Place(values=values, where="names"), ())
    ...     for values in (("HC", "HSP"), ("site1", "site2"), ("day1", "day2"), ("left", "right"), ("HC", "HC"))
    ... ]
    [True, True, False, False, False]
    """
    words = place.distinct
    return (
        len(words) > 1
        and not any(word in known or is_view(word) or hinted_label(word) is not None for word in words)
        and (all(map(is_centre, words)) or not any(map(_DIGIT.search, words)))
    )


def have_same_ids(site: Place, place: Place) -> bool:
    """Whether each value of a place occurs with each site, as patients do with each of several stains."""
    pairs = {pair for pair in zip(site.values, place.values, strict=True) if None not in pair}
    return len(pairs) == len(site.distinct) * len(place.distinct)


def with_sites(place: Place, outer: Sequence[Place], image_ids: Sequence[str]) -> Place:
    """The place with the words of sites before it, if equal ids of several sites occur; else the place itself.

    Args:
        place: the ids of patients.
        outer: sites, in the order of the paths.
        image_ids: of which the values are.
    """
    for number, first in enumerate(outer):
        keys = {
            each for each in zip(*(one.values for one in (*outer[number:], place)), strict=True) if None not in each
        }
        if len(keys) <= len(place.distinct) or len(keys) * LEAST_PER_SUBJECT > len(image_ids):
            continue
        wider = _wider(place, first, image_ids)
        # What is between them, such as a date, may differ between the images of a patient.
        if wider is not None and len(wider.distinct) == len(keys) and _covers(wider, place):
            return wider
    return place


def _wider(place: Place, first: Place, image_ids: Sequence[str]) -> Place | None:
    """The place with what is before it from another place on; None if that cannot be written."""
    before = place.before
    if first.where != place.where:
        depths = {image_id.count("/") for image_id in image_ids}
        if len(depths) > 1:
            return None
        before = f"^{'[^/]+/' * depths.pop()}{before}"
    if not before.startswith(first.before):
        return None
    wider = dataclasses.replace(place, before=first.before, group=before.removeprefix(first.before) + place.group)
    matches = [re.search(wider.pattern, image_id) for image_id in image_ids]
    return dataclasses.replace(wider, values=tuple(match[1] if match else None for match in matches))


def _covers(wider: Place, place: Place) -> bool:
    """Whether each image with a value has one in the wider place."""
    return all(one is None or other is not None for one, other in zip(place.values, wider.values, strict=True))
