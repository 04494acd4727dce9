"""The decorators by which a plug-in's file registers what it adds to recipes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from leukemia.base.errors import UserError
from leukemia.config.plugins import NAME, Kind
from leukemia.config.recipe import BUILT_IN, Recipe

if TYPE_CHECKING:
    import torch


class NetworkBuilder(Protocol):
    """What ``network`` decorates."""

    def __call__(self, recipe: Recipe, in_channels: int, num_classes: int) -> torch.nn.Module:
        """A new network on the CPU, whose weights are drawn from torch's global generator, which has been seeded.

        Args:
            recipe: complete, such as for ``recipe.data.size_px``, the side of the images in pixels.
            in_channels: 3, or 1 if images are grayscale.
            num_classes: 2: class 0 is normal, 1 leukemic.

        Returns:
            From normalized images, float (N, in_channels, S, S), to logits (N, num_classes).
        """


class OptimizerBuilder(Protocol):
    """What ``optimizer`` decorates."""

    def __call__(self, parameters: list[torch.nn.Parameter], recipe: Recipe, steps: int) -> torch.optim.Optimizer:
        """A new optimizer, whose learning rate is then set before each step, by cosine annealing with warm restarts.

        Args:
            parameters: of the network, on its device, in the order of ``network.parameters()``.
            recipe: complete; ``recipe.optimizer.learning_rate`` and ``weight_decay`` are to be used.
            steps: of the whole training: batches in an epoch, times epochs.

        Returns:
            One whose ``state_dict`` has tensors and plain values only, so that training can be resumed.
        """


class AugmentationBuilder(Protocol):
    """What ``augmentation`` decorates."""

    def __call__(self, p: float) -> Any:
        """A new transform of albumentations, applied with probability ``p``.

        Args:
            p: in 0..1: the value of ``augment.NAME``.

        Returns:
            An ``albumentations.BasicTransform`` of images, uint8 (S, S, 3), RGB in 0..255; it keeps shape and type,
            and draws random numbers from its own generators (``self.random_generator``, ``self.py_random``) only.
        """


Network = TypeVar("Network", bound=NetworkBuilder)
Optimizer = TypeVar("Optimizer", bound=OptimizerBuilder)
Augmentation = TypeVar("Augmentation", bound=AugmentationBuilder)

ARGUMENTS: Mapping[Kind, tuple[str, ...]] = {
    "network": ("recipe", "in_channels", "num_classes"),
    "optimizer": ("parameters", "recipe", "steps"),
    "augmentation": ("p",),
}
"""Of the decorated function, in order, by kind."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What a file has registered under a name."""

    kind: Kind
    build: Callable[..., Any]
    defaults: Mapping[str, float] = field(default_factory=dict)
    """Of an optimizer's settings."""


running: ContextVar[dict[str, Registered] | None] = ContextVar("running", default=None)
"""What the file that is being run has registered, by name; None while none is run."""


def network(name: str) -> Callable[[Network], Network]:
    """Register a network: ``name`` is then a value of ``model.network``.

    Args:
        name: lowercase letters, digits and ``_``, beginning with a letter.
    """
    return _registering(name, "network", {})


def optimizer(name: str, *, learning_rate: float, weight_decay: float = 0.0) -> Callable[[Optimizer], Optimizer]:
    """Register an optimizer: ``name`` is then a value of ``optimizer.name``.

    It has the settings of ``adamw``: ``learning_rate`` (the peak), ``weight_decay``, ``restart_epochs`` and
    ``restart_factor`` (cosine annealing with warm restarts, down to a hundredth of the peak), and ``warmup_epochs``.

    Args:
        name: as of ``network``.
        learning_rate: default of ``optimizer.learning_rate``.
        weight_decay: default of ``optimizer.weight_decay``.
    """
    return _registering(name, "optimizer", {"learning_rate": learning_rate, "weight_decay": weight_decay})


def augmentation(name: str) -> Callable[[Augmentation], Augmentation]:
    """Register an augmentation: ``augment.NAME`` is then a field, its probability, in 0..1; 0 unless given.

    Args:
        name: as of ``network``.
    """
    return _registering(name, "augmentation", {})


def _registering(name: str, kind: Kind, defaults: Mapping[str, float]) -> Callable[[Any], Any]:
    def register(build: Any) -> Any:
        found = running.get()
        # Without a search, the file may be imported as any other, such as by its own tests.
        if found is not None:
            _check(name, kind, build, found)
            found[name] = Registered(kind=kind, build=build, defaults=defaults)
        return build

    return register


def _check(name: Any, kind: Kind, build: Any, found: Mapping[str, Registered]) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f"@{kind}({name!r}): expected a name of lowercase letters, digits and '_' that begins with a letter"
        )
    if any(name in names for names in BUILT_IN.values()):
        raise UserError(f"@{kind}({name!r}): the name is built in; choose another")
    if name in found:
        raise UserError(f"@{kind}({name!r}): the name is registered twice; choose another for one of them")
    wanted = ARGUMENTS[kind]
    arguments = tuple(inspect.signature(build).parameters) if callable(build) else None
    if arguments != wanted:
        got = "no function" if arguments is None else f"({', '.join(arguments)})"
        raise UserError(f"@{kind}({name!r}): expected a function with the arguments ({', '.join(wanted)}), got {got}")
