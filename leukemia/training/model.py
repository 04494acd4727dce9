"""The network of a recipe: new, from pretrained weights, or from the file of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, listed
from leukemia.config.recipe import Recipe
from leukemia.training.architecture import Architecture, architecture_of, mismatches
from leukemia.training.ensemble import AnyNetwork, Ensemble, prefix_of
from leukemia.training.plugged import plugged_network, undisturbed
from leukemia.training.pretrained import read_pretrained
from leukemia.training.weights import read_weights, write_weights


def build_model(recipe: Recipe) -> nn.Module:
    """A new network for a recipe: 2 logits (0 ``hem``, 1 ``all``), 3 input channels or 1 for grayscale, on the CPU.

    Initial weights are drawn from torch's global generator, which the caller seeds. With ``model.pretrained`` the stem
    and the stages are then replaced by those of that file (``Pretrained.state_for``); the head stays new.

    Raises:
        MissingFile: no file at ``model.pretrained``.
        UserError: the file has no weights of a ResNet, or not of this one; or the file of the network's plug-in has not
            been loaded.
    """
    if not recipe.model.is_resnet:
        return plugged_network(recipe)
    model = Architecture.of(recipe).network()
    if recipe.model.pretrained is not None:
        model.load_state_dict(read_pretrained(Path(recipe.model.pretrained)).state_for(recipe), strict=False)
    return model


def save_model(model: nn.Module, path: Path) -> None:
    """Write the state dict as safetensors with a checksum, atomically; as ``write_weights``."""
    write_weights(model.state_dict(), path)


def load_model(path: Path, recipe: Recipe) -> nn.Module:
    """The network written by ``save_model``, on the CPU, in evaluation mode. Draws no random numbers.

    Raises:
        MissingFile: no file at ``path``.
        UserError: the file is damaged, or its network differs from the recipe's; or the file of the network's plug-in
            has not been loaded.
    """
    return _filled(_unfilled(recipe), path, recipe)


def load_ensemble(path: Path, recipe: Recipe, num_members: int) -> Ensemble:
    """As ``load_model``, for an ensemble of so many networks of the recipe."""
    return _filled(Ensemble(_unfilled(recipe) for _ in range(num_members)), path, recipe)


def _unfilled(recipe: Recipe) -> nn.Module:
    """A network of a recipe whose weights are to be read: without memory, unless it is that of a plug-in."""
    if recipe.model.is_resnet:
        with torch.device("meta"):
            return Architecture.of(recipe).network()
    with undisturbed():
        return plugged_network(recipe)


def _filled(model: AnyNetwork, path: Path, recipe: Recipe) -> AnyNetwork:
    """A network, or an ensemble, of ``_unfilled`` with the weights of a file."""
    state, expected = read_weights(path), model.state_dict()
    if problems := mismatches(state, expected):
        of = f"an ensemble of {len(model.members)} times " if isinstance(model, Ensemble) else ""
        raise UserError(f"{path} does not match {_mismatch(of, state, recipe)}\n{listed(problems, limit=6)}")
    # Names are complete, so nothing keeps the values that a plug-in has drawn.
    values = {key: value.to(expected[key].dtype) for key, value in state.items()}
    model.load_state_dict(values, assign=recipe.model.is_resnet)
    model.eval()
    return model


def _mismatch(of: str, state: Mapping[str, Tensor], recipe: Recipe) -> str:
    """What was expected instead of a state dict, and what to do.

    Args:
        of: what is said before the network, of an ensemble.
    """
    if not recipe.model.is_resnet:
        return (
            f"{of}the network {recipe.model.network} as its plug-in builds it here; install the versions of the "
            "packages that the plug-in imports with which it was trained"
        )
    return (
        f"the recipe: expected {of}{Architecture.of(recipe).describe()}, {len(CLASS_NAMES)} classes, got what appears "
        f"to be {_describe(state)}; change the recipe's model or data.grayscale, or give another file"
    )


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
