"""The network of a recipe: new, from pretrained weights, or from the file of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, listed
from leukemia.config.recipe import Recipe
from leukemia.training.architecture import Architecture, architecture_of, mismatches
from leukemia.training.ensemble import AnyNetwork, Ensemble, Network, prefix_of
from leukemia.training.pretrained import read_pretrained
from leukemia.training.resnet import ResNet
from leukemia.training.weights import read_weights, write_weights


def build_model(recipe: Recipe) -> ResNet:
    """A new network for a recipe: 2 logits (0 ``hem``, 1 ``all``), 3 input channels or 1 for grayscale, on the CPU.

    Initial weights are drawn from torch's global generator, which the caller seeds. With ``model.pretrained`` the stem
    and the stages are then replaced by those of that file (``Pretrained.state_for``); the head stays new.

    Raises:
        MissingFile: no file at ``model.pretrained``.
        UserError: the file has no weights of a ResNet, or not of this one.
    """
    model = Architecture.of(recipe).network()
    if recipe.model.pretrained is not None:
        model.load_state_dict(read_pretrained(Path(recipe.model.pretrained)).state_for(recipe), strict=False)
    return model


def save_model(model: Network, path: Path) -> None:
    """Write the state dict as safetensors with a checksum, atomically; as ``write_weights``."""
    write_weights(model.state_dict(), path)


def load_model(path: Path, recipe: Recipe) -> ResNet:
    """The network written by ``save_model``, on the CPU, in evaluation mode. Draws no random numbers.

    Raises:
        MissingFile: no file at ``path``.
        UserError: the file is damaged, or its network differs from the recipe's.
    """
    with torch.device("meta"):
        model = Architecture.of(recipe).network()
    return _filled(model, path, recipe)


def load_ensemble(path: Path, recipe: Recipe, num_members: int) -> Ensemble:
    """As ``load_model``, for an ensemble of so many networks of the recipe."""
    with torch.device("meta"):
        model = Ensemble(Architecture.of(recipe).network() for _ in range(num_members))
    return _filled(model, path, recipe)


def _filled(model: AnyNetwork, path: Path, recipe: Recipe) -> AnyNetwork:
    """A network without memory, with the weights of a file."""
    state, expected = read_weights(path), model.state_dict()
    if problems := mismatches(state, expected):
        of = f"an ensemble of {len(model.members)} times " if isinstance(model, Ensemble) else ""
        raise UserError(
            f"{path} does not match the recipe: expected {of}{Architecture.of(recipe).describe()}, {len(CLASS_NAMES)} "
            f"classes, got what appears to be {_describe(state)}; change the recipe's model or data.grayscale, or give "
            f"another file\n{listed(problems, limit=6)}"
        )
    model.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()}, assign=True)
    model.eval()
    return model


def _describe(state: Mapping[str, Tensor]) -> str:
    """What a state dict appears to be."""
    num_members = 0
    while any(name.startswith(prefix_of(num_members)) for name in state):
        num_members += 1
    if num_members:
        return f"an ensemble of {num_members} networks"
    found, head = architecture_of(state), state.get("fc.weight")
    classes = "" if head is None or head.dim() != 2 else f", {head.shape[0]} classes"
    return "no ResNet" if found is None else found.describe() + classes
