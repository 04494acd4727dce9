"""Files of weights: written with a checksum, read without unpickling, checked for damage and for impossible values."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from leukemia.base.errors import MissingFile, UserError, first_line, listed
from leukemia.base.files import atomic

logger = logging.getLogger(__name__)

CHECKSUM = "sha256"
"""Key of the checksum in the metadata of a safetensors file."""


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors with a checksum, atomically; they may be on any device and in any memory format."""
    stored = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with atomic(path) as temporary:
        # No other key: safetensors writes several in random order, and equal models should be equal files.
        save_file(stored, temporary, metadata={CHECKSUM: checksum(stored)})


def read_weights(path: Path, *, own: bool = False) -> dict[str, Tensor]:
    """Read a file of weights; tensors are on the CPU, those of floating point as float32.

    Args:
        path: a ``.safetensors``, ``.pt`` or ``.pth`` file.
        own: whether ``write_weights`` wrote the file, so that a missing checksum is worth a warning.

    Raises:
        MissingFile: no file at ``path``.
        UserError: the file is damaged, holds anything but tensors, or values that no network can have.
    """
    if not path.is_file():
        raise MissingFile(f"no weights at {path}; give the path of a ResNet state dict (.safetensors, .pt or .pth)")
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise UserError(f"{path}: expected weights as .safetensors, .pt or .pth, got {path.suffix or 'no suffix'!r}")
    try:
        state, metadata = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except Exception as error:
        # Parsers may raise anything on damaged files.
        raise UserError(
            f"{path}: expected a state dict of tensors, but cannot read it ({first_line(error)}); copy it again"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise UserError(f"{path}: expected a mapping from names to tensors only; save model.state_dict()")
    if CHECKSUM in metadata and metadata[CHECKSUM] != checksum(state):
        raise UserError(
            f"{path} is damaged: its tensors do not match its checksum; restore the file from a backup, or train the "
            "model again"
        )
    if own and CHECKSUM not in metadata:
        logger.warning("%s has no checksum, as written by earlier versions: damage would not be noticed", path)
    weights = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    _reject_impossible(weights, path)
    return weights


def checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of contiguous tensors on the CPU, in the order of their names.

    >>> checksum({"a": torch.zeros(2), "b": torch.ones(1)}) == checksum({"b": torch.ones(1), "a": torch.zeros(2)})
    True
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        # A tensor without dimensions cannot be viewed as bytes.
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> tuple[Any, dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_pickle(path: Path) -> tuple[Any, dict[str, str]]:
    return torch.load(path, map_location="cpu", weights_only=True), {}


def _reject_impossible(weights: Mapping[str, Tensor], path: Path) -> None:
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise UserError(f"{path}: expected finite weights, got NaN or infinity; copy it again:\n{listed(broken, 5)}")
    negative = [name for name, value in weights.items() if name.endswith("running_var") and (value < 0).any()]
    if negative:
        raise UserError(
            f"{path}: expected variances of at least 0, got negative ones; copy it again:\n{listed(negative, 5)}"
        )
