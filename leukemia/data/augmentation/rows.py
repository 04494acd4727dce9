"""Rows of an array of images on a device: the whole array kept there, or rows sent batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

SHARE = 1 / 3
"""An array stays on a GPU if it takes at most this share of the memory that is free."""

CHUNK = 256
"""Images that are copied to a device at a time."""


class Rows(Protocol):
    """Images by row."""

    def __call__(self, rows: Sequence[int]) -> Tensor:
        """uint8 (len(rows), H, W, 3), on the device."""


def on_device(images: np.ndarray, device: torch.device) -> Rows:
    """The array on the device where it fits, else a sender of rows.

    Args:
        images: uint8 (n, H, W, 3), memory-mapped or not.
    """
    return Resident(images, device) if images.nbytes <= SHARE * free_memory(device) else Sent(images, device)


def free_memory(device: torch.device) -> float:
    """Bytes that this process can still allocate on a GPU; 0 for a device whose memory is the host's."""
    if device.type != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info(device)
    # Trials that share a GPU have a share of its memory each, which the driver does not know.
    allowed = torch.cuda.get_per_process_memory_fraction(device) * total - torch.cuda.memory_reserved(device)
    return max(0.0, min(free, allowed))


class Resident:
    """The whole array on the device."""

    def __init__(self, images: np.ndarray, device: torch.device) -> None:
        self._device = device
        self._images = torch.empty(images.shape, dtype=torch.uint8, device=device)
        for start in range(0, len(images), CHUNK):
            # A copy, since torch warns of read-only arrays.
            self._images[start : start + CHUNK] = torch.from_numpy(np.array(images[start : start + CHUNK]))

    def __call__(self, rows: Sequence[int]) -> Tensor:
        return self._images.index_select(0, sent(torch.tensor(rows), self._device))


class Sent:
    """Rows gathered by the CPU and sent as uint8, a quarter of what the network's input takes."""

    def __init__(self, images: np.ndarray, device: torch.device) -> None:
        self._images, self._device = images, device

    def __call__(self, rows: Sequence[int]) -> Tensor:
        return sent(torch.from_numpy(np.asarray(self._images[np.asarray(rows)])), self._device)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device; to a GPU through page-locked memory, which needs no wait."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
