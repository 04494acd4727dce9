"""Files of weights: written with a checksum, read without running code, checked for damage and impossible values."""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from leukemia.base.errors import MissingFile, UserError, first_line, listed
from leukemia.base.files import atomic, open_file
from leukemia.training.unpickling import read_torch

logger = logging.getLogger(__name__)

CHECKSUM = "sha256"
"""Key of the checksum in the metadata of a safetensors file."""

OTHER_FORMATS = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
    b"<": "a web page; download the file itself",
    b"{": "JSON; give the file of the tensors themselves",
    b"\x89HDF": "HDF5, as of Keras; give weights of PyTorch",
}
"""Files found in place of weights, by their first bytes, and what to do."""

NUMBERS = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2}
    | {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
)
"""Types of the weights of a network and of its counters."""


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors with a checksum, atomically; they may be on any device and in any memory format."""
    # Copies: safetensors refuses tensors that share memory, as those of a model under Ranger21 do.
    stored = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    with atomic(path) as temporary:
        # safetensors would let only this user read the file.
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        # No other key: safetensors writes several in random order, and equal models should be equal files.
        save_file(stored, temporary, metadata={CHECKSUM: checksum(stored)})
        temporary.chmod(mode)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of ``write_weights``; tensors are on the CPU, those of floating point as float32.

    Raises:
        MissingFile: no file at ``path``.
        UserError: the file is damaged, or holds values that no network can have.
    """
    if not path.is_file():
        raise MissingFile(f"no weights at {path}; restore the file from a backup, or train the model again")
    state, has_checksum = _read_safetensors(path)
    if not has_checksum:
        logger.warning("%s has no checksum, as written by earlier versions: damage would not be noticed", path)
    return possible(state, path)


def read_content(path: Path) -> Any:
    """The content of any file of weights: tensors on the CPU in plain, nested containers. Its format is recognized by
    its first bytes, since names such as ``.ckpt``, ``.pth.tar`` or ``.bin`` are used for several.

    Raises:
        UserError: the file is damaged, or of a format that has no weights of torch, or can run code.
    """
    with open_file(path) as stream:
        start = stream.read(64)
    # The length of a safetensors header may be any eight bytes.
    if start[8:9] == b"{":
        return _read_safetensors(path)[0]
    what = next((each for magic, each in OTHER_FORMATS.items() if start.startswith(magic)), None)
    if what or not start:
        what = what or "an empty file; copy it again"
        raise UserError(f"{path}: expected weights as saved by torch or safetensors, got {what}")
    return read_torch(path)


def possible(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors, those of floating point as float32.

    Raises:
        UserError: some are not plain, not finite, or are negative variances.
    """
    other = [f"{name}: {describe_kind(value)}" for name, value in state.items() if not is_plain(value)]
    if other:
        raise UserError(f"{path}: expected dense tensors of plain numbers; copy it again:\n{listed(other, 5)}")
    weights = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise UserError(f"{path}: expected finite weights, got NaN or infinity; copy it again:\n{listed(broken, 5)}")
    negative = [name for name, value in weights.items() if name.endswith("running_var") and (value < 0).any()]
    if negative:
        raise UserError(
            f"{path}: expected variances of at least 0, got negative ones; copy it again:\n{listed(negative, 5)}"
        )
    return weights


def is_plain(value: Tensor) -> bool:
    """Whether a tensor has a value in each place, of one of ``NUMBERS``: not complex, quantized, sparse or meta."""
    return value.dtype in NUMBERS and value.layout == torch.strided and not value.is_meta and not value.is_nested


def describe_kind(value: Tensor) -> str:
    """Type, layout and device of a tensor, as in ``torch.float32, torch.sparse_coo, cpu``."""
    return f"{value.dtype}, {value.layout}, {value.device}"


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


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors, and whether they had a checksum, which is verified."""
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except Exception as error:
        # Parsers may raise anything on damaged files.
        raise UserError(
            f"{path}: expected a state dict of tensors, but cannot read it ({first_line(error)}); copy it again"
        ) from error
    if CHECKSUM in metadata and metadata[CHECKSUM] != checksum(state):
        raise UserError(
            f"{path} is damaged: its tensors do not match its checksum; restore the file from a backup, or train the "
            "model again"
        )
    return state, CHECKSUM in metadata
