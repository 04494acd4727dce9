"""The network of a recipe: new, from pretrained weights, or from the file of a trained model."""

from __future__ import annotations

from pathlib import Path

import torch

from leukemia import CLASS_NAMES
from leukemia.base.errors import UserError, listed
from leukemia.config.recipe import Recipe
from leukemia.training.architecture import Architecture, architecture_of, mismatches
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


def save_model(model: ResNet, path: Path) -> None:
    """Write the state dict as safetensors with a checksum, atomically; as ``write_weights``."""
    write_weights(model.state_dict(), path)


def load_model(path: Path, recipe: Recipe) -> ResNet:
    """The network written by ``save_model``, on the CPU, in evaluation mode. Draws no random numbers.

    Raises:
        MissingFile: no file at ``path``.
        UserError: the file is damaged, or its network differs from the recipe's.
    """
    state, wanted = read_weights(path), Architecture.of(recipe)
    expected = wanted.state()
    if problems := mismatches(state, expected):
        found, head = architecture_of(state), state.get("fc.weight")
        classes = "" if head is None or head.dim() != 2 else f", {head.shape[0]} classes"
        raise UserError(
            f"{path} does not match the recipe: expected {wanted.describe()}, {len(CLASS_NAMES)} classes, got what "
            f"appears to be {'no ResNet' if found is None else found.describe() + classes}; change the recipe's model "
            f"or data.grayscale, or give another file\n{listed(problems, limit=6)}"
        )
    with torch.device("meta"):
        model = wanted.network()
    model.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()}, assign=True)
    return model.eval()
