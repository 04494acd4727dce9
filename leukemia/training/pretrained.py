"""Pretrained weights: the stem and the stages of a ResNet to start from, and the recipes that can."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from leukemia.base.errors import UserError
from leukemia.config.delivered import RECIPE, WEIGHTS, weights_file
from leukemia.config.recipe import Recipe
from leukemia.training.architecture import Architecture
from leukemia.training.found_network import FoundNetwork, find_network
from leukemia.training.weights import possible, read_content

MOST_SHOWN = 6
"""Parts of a file that a description lists."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights to start from."""

    path: Path
    network: FoundNetwork
    """Its tensors are float32, finite, with variances of at least 0."""

    has_any_shortcut: bool
    """Whether the file is a plain ResNet from elsewhere, which networks with each of the shortcuts start from."""

    def settings(self) -> dict[str, Any]:
        """Recipe fields that the weights determine, with their values."""
        fields: dict[str, Any] = {"model.depth": self.network.architecture.depth}
        if not self.has_any_shortcut:
            fields["model.shortcut"] = self.network.architecture.shortcut
        if self.network.architecture.in_channels == 1:
            fields["data.grayscale"] = True
        return fields

    def require(self, recipe: Recipe, searched: Collection[str] = ()) -> None:
        """Check that a recipe can start from these weights.

        Args:
            searched: fields that a search varies.

        Raises:
            UserError: a field differs or is varied; the message says how to set it.
        """
        fields = recipe.flat()
        wrong = {key: to for key, to in self.settings().items() if fields[key] != to or key in searched}
        if wrong:
            has = [f"{key} is {'searched' if key in searched else _shown(fields[key])}" for key in wrong]
            options = " ".join(f"--set {key}={_shown(value)}" for key, value in wrong.items())
            raise UserError(
                f"model.pretrained: {self.path} has {self.network.architecture.describe()}, but {' and '.join(has)}; "
                f"use {options}, or other weights"
            )

    def state_for(self, recipe: Recipe) -> dict[str, Tensor]:
        """The part of a recipe's state dict that starts from these weights.

        For grayscale, the first convolution of colour weights is summed over its input channels, which is equivalent
        to repeating the gray image in three channels.

        Raises:
            UserError: as ``require``.
        """
        self.require(recipe)
        state = dict(self.network.tensors)
        if recipe.data.grayscale and self.network.architecture.in_channels == 3:
            state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
        return state

    def describe(self) -> str:
        """What was taken, dropped and left new, as one line."""
        network = self.network
        where = f" of {network.prefix}*" if network.prefix else ""
        converted = "" if network.dtypes == ("float32",) else f", converted from {' and '.join(network.dtypes)}"
        dropped = [f"{name} ({number})" for name, number in network.dropped.items()]
        more = f" and {len(dropped) - MOST_SHOWN} more" if len(dropped) > MOST_SHOWN else ""
        new = "head, and the parameters of shortcuts concat and weighted" if self.has_any_shortcut else "head"
        return (
            f"{self.path}, {network.architecture.describe()}: {len(network.tensors)} tensors{where} taken{converted}; "
            f"dropped: {', '.join(dropped[:MOST_SHOWN]) or 'nothing'}{more}; new: {new}"
        )


def read_pretrained(path: Path) -> Pretrained:
    """Read the weights that ``model.pretrained`` names: a file, or the folder of a delivered model.

    The network may be nested in containers (``state_dict``) and modules (``module.``, ``backbone.``). Its head, and
    whatever else is in the file, is dropped.

    Raises:
        MissingFile: no file at ``path``.
        UserError: the file holds no ResNet of this project's kinds, an incomplete one, several, or impossible values.
    """
    file = weights_file(path)
    content = read_content(file)
    try:
        network = find_network(content)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    delivered = _architecture_beside(file)
    if delivered is not None and delivered != network.architecture:
        raise UserError(
            f"{file} has {network.architecture.describe()}, but {RECIPE} beside it {delivered.describe()}; restore the "
            "folder from a backup"
        )
    return Pretrained(
        path=path,
        network=dataclasses.replace(network, tensors=possible(network.tensors, file)),
        has_any_shortcut=delivered is None and network.architecture.shortcut == "add",
    )


def describe_weights(recipe: Recipe, searched: Collection[str] = ()) -> str | None:
    """What a recipe takes from its pretrained weights, as one line; None if it starts from scratch.

    Args:
        searched: as of ``Pretrained.require``.

    Raises:
        UserError: as ``read_pretrained`` and ``Pretrained.require``.
    """
    if recipe.model.pretrained is None:
        return None
    weights = read_pretrained(Path(recipe.model.pretrained))
    weights.require(recipe, searched)
    return weights.describe()


def _architecture_beside(file: Path) -> Architecture | None:
    """The architecture of a delivered model, whose shortcut is known even if it has no parameters; None if foreign."""
    path = file.with_name(RECIPE)
    return Architecture.of(Recipe.load(path)) if file.name == WEIGHTS and path.is_file() else None


def _shown(value: object) -> str:
    """The value of a recipe field, as in ``--set``."""
    return value if isinstance(value, str) else json.dumps(value)
