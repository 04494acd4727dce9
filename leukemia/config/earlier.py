"""Recipes of earlier versions: what they mean by fields that they lack, and by values that now mean something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leukemia.config.plugins import RESNET

Renamed = Mapping[str, Mapping[Any, Any]]
"""By field: the present names of values, by their earlier ones."""


@dataclass(frozen=True, kw_only=True)
class AddedField:
    """A field that a version added, by which its recipes are told from earlier ones, and what those mean."""

    key: str
    meaning: Mapping[str, Any] = field(default_factory=dict)
    """What versions without the field did: its value, and those of other fields whose defaults changed with it."""

    renamed: Renamed = field(default_factory=dict)
    """Values of other fields that got a new meaning in the same version."""

    unchanged: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """The fields of a version whose defaults are what versions without them did, with these defaults; None is that of
    an optimizer without the field."""


ADDED = (
    AddedField(key="data.fit", meaning={"data.fit": "crop"}),
    AddedField(
        key="train.pipeline",
        meaning={"train.pipeline": "reference", "optimizer.name": "ranger21_package"},
        renamed={
            "optimizer.name": {"ranger21": "ranger21_package", "ranger21_cosine": "ranger21_package_cosine"},
        },
    ),
    AddedField(
        key="augment.rotate_limit",
        unchanged={
            "augment.rotate_limit": (180.0,),
            "augment.border": ("constant",),
            "augment.brightness": (0.0,),
            "augment.contrast": (0.0,),
            "augment.saturation": (0.0,),
            "optimizer.warmup_epochs": (0, None),
            "train.label_smoothing": (0.0,),
            "model.network": (RESNET,),
        },
    ),
)
"""Fields added since the first version whose recipes are still read, oldest first; those of one version together."""

ALWAYS_NAMED = 1
"""So many of the oldest ``ADDED`` fields are in names of files (``for_names``) even if they mean what versions without
them did."""


def renamed_since(values: Mapping[str, Any]) -> Renamed:
    """The values renamed since the version that wrote a recipe, given by dotted key.

    >>> renamed_since({"optimizer.name": "ranger21"})["optimizer.name"]["ranger21"]
    'ranger21_package'
    >>> renamed_since({"optimizer.name": "ranger21", "data.fit": "crop", "train.pipeline": "batch"})
    {}
    """
    renamed: dict[str, Mapping[Any, Any]] = {}
    for added in ADDED:
        if added.key not in values:
            renamed.update(added.renamed)
    return renamed


def with_present_names(values: Mapping[str, Any], renamed: Renamed) -> dict[str, Any]:
    """Values by dotted key, with earlier names replaced by present ones.

    >>> with_present_names({"model.depth": 18, "optimizer.name": "old"}, {"optimizer.name": {"old": "new"}})
    {'model.depth': 18, 'optimizer.name': 'new'}
    """
    return {key: renamed[key].get(value, value) if key in renamed else value for key, value in values.items()}


def with_earlier_names(values: Mapping[str, Any], renamed: Renamed) -> dict[str, Any]:
    """The inverse of ``with_present_names``."""
    earlier = {key: {new: old for old, new in names.items()} for key, names in renamed.items()}
    return with_present_names(values, earlier)


def in_present_terms(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of any version by dotted key, in the terms of this one; fields without an earlier meaning stay absent.

    >>> in_present_terms({"data.fit": "crop", "optimizer.name": "adamw"})
    {'train.pipeline': 'reference', 'optimizer.name': 'adamw', 'data.fit': 'crop'}
    """
    earlier: dict[str, Any] = {}
    for added in ADDED:
        if added.key not in values:
            earlier.update(added.meaning)
    return {**earlier, **with_present_names(values, renamed_since(values))}


def for_names(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A complete recipe by dotted key, as the first version that could write it did.

    Names of files contain its hash, and the files must be found after an upgrade.

    >>> earlier = {"data.fit": "crop", "optimizer.name": "ranger21"}
    >>> for_names(in_present_terms(earlier)) == earlier
    True
    >>> for_names({"data.fit": "crop", "optimizer.name": "ranger21", "train.pipeline": "reference"})
    {'data.fit': 'crop', 'optimizer.name': 'ranger21', 'train.pipeline': 'reference'}
    """
    first = values
    unchanged: dict[str, Any] = {}
    for added in reversed(ADDED[ALWAYS_NAMED:]):
        rest = {key: value for key, value in first.items() if key != added.key and key not in added.unchanged}
        rest = with_earlier_names(rest, added.renamed)
        present = {key: values[key] for key in added.unchanged.keys() & values.keys()}
        unchanged |= {key: value for key, value in present.items() if value in added.unchanged[key]}
        if {**in_present_terms(rest), **unchanged} != values:
            break
        first = rest
    return first
