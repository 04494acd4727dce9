"""Networks and optimizers of plug-ins: built, and checked for what every network and optimizer here must do."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, first_line
from leukemia.base.faults import is_machine_fault
from leukemia.config.recipe import Recipe
from leukemia.plugins.registry import builder_of
from leukemia.training.device import is_device_fault, is_out_of_memory


def plugged_network(recipe: Recipe) -> nn.Module:
    """A new network of the recipe's plug-in, on the CPU; its weights are drawn from torch's global generator.

    Raises:
        UserError: its file has not been loaded, or it fails or returns something else.
    """
    name, in_channels = recipe.model.network, 1 if recipe.data.grayscale else 3
    build = builder_of(recipe, name, "network")
    # Callers that only count have another default device, which not every network can be built on.
    with torch.device("cpu"):
        network = _called(f"model.network {name}", lambda: build(recipe, in_channels, len(CLASS_NAMES)))
    if not isinstance(network, nn.Module):
        raise UserError(f"model.network {name}: expected the plug-in to return a torch.nn.Module, got {_kind(network)}")
    return network


def plugged_optimizer(recipe: Recipe, parameters: list[nn.Parameter], steps: int) -> torch.optim.Optimizer:
    """A new optimizer of the recipe's plug-in.

    Args:
        steps: of the whole training.

    Raises:
        UserError: its file has not been loaded, or it fails or returns something else.
    """
    name = recipe.optimizer.name
    build = builder_of(recipe, name, "optimizer")
    optimizer = _called(f"optimizer.name {name}", lambda: build(parameters, recipe, steps))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(
            f"optimizer.name {name}: expected the plug-in to return a torch.optim.Optimizer, got {_kind(optimizer)}"
        )
    held = {id(each) for group in optimizer.param_groups for each in group["params"]}
    if held != {id(each) for each in parameters}:
        raise UserError(
            f"optimizer.name {name}: expected an optimizer of all {len(parameters)} parameters, got one of {len(held)}"
        )
    return optimizer


def check_network(recipe: Recipe) -> None:
    """Check before training that a network of a plug-in maps images of the recipe to logits of both classes.

    Draws nothing from torch's global generator.

    Args:
        recipe: resolved.

    Raises:
        UserError: it fails, or its output is something else.
    """
    assert recipe.data.size_px is not None
    name, side = recipe.model.network, recipe.data.size_px
    with undisturbed(), torch.no_grad():
        network = plugged_network(recipe).eval()
        images = torch.zeros(2, 1 if recipe.data.grayscale else 3, side, side)
        logits = _called(f"model.network {name} at {side} px", lambda: network(images))
    if not isinstance(logits, Tensor) or logits.shape != (2, len(CLASS_NAMES)):
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else _kind(logits)
        raise UserError(
            f"model.network {name}: expected logits of shape (N, {len(CLASS_NAMES)}) for N images of {side} px, got "
            f"{got} for 2"
        )


def check_optimizer(recipe: Recipe) -> None:
    """Check before training that an optimizer of a plug-in makes a step, and that its state can be stored.

    Raises:
        UserError: it fails, or its state has other things than tensors and plain values.
    """
    name = recipe.optimizer.name
    with undisturbed(), torch.device("cpu"):
        layer = nn.Linear(2, 2)
        optimizer = plugged_optimizer(recipe, list(layer.parameters()), recipe.train.epochs)
        layer(torch.ones(1, 2)).sum().backward()
        _called(f"optimizer.name {name}", optimizer.step)
    stored = io.BytesIO()
    torch.save(optimizer.state_dict(), stored)
    stored.seek(0)
    try:
        torch.load(stored, weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"optimizer.name {name}: expected a state_dict of tensors and plain values, so that training can be "
            f"resumed, got something else ({first_line(error)})"
        ) from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without a trace in torch's random generator of the CPU."""
    with torch.random.fork_rng(devices=[]):
        yield


def _called(what: str, call: Callable[[], Any]) -> Any:
    """The result of a plug-in's code, whose errors are its author's mistakes unless the machine is at fault."""
    try:
        return call()
    except UserError:
        raise
    except Exception as error:
        if is_machine_fault(error) or is_device_fault(error) or is_out_of_memory(error):
            raise
        raise UserError(f"{what}: the plug-in failed with {type(error).__name__}: {first_line(error)}") from error


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
