"""The device that trains: chosen or asked for, and what it computes natively."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from leukemia.config import Recipe
from leukemia.mistakes import Mistake

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """``auto`` takes cuda, then mps, then cpu; a device asked for by name must be there.

    Raises:
        Mistake: the device is not available on this machine.
    """
    available = [
        device
        for device, present in (
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
            ("cpu", True),
        )
        if present
    ]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise Mistake(f"--device {name}: not available on this machine; use one of {', '.join(available)}, or auto")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """Hardware name for provenance, such as ``cuda (NVIDIA H100)`` or ``cpu (AMD EPYC)``."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({_processor()})"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def compute_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Arithmetic of the forward pass: the recipe's, or for ``auto`` bfloat16 where the device computes it natively.

    Raises:
        Mistake: bfloat16 was asked for on a device without it.
    """
    native = _has_bfloat16(device)
    if recipe.train.precision == "bfloat16" and not native:
        raise Mistake(
            f"train.precision: bfloat16 is not native on {describe_device(device)}; use auto, which then takes float32"
        )
    return torch.bfloat16 if native and recipe.train.precision != "float32" else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # oneDNN emulates bfloat16 on other processors, slower than float32.
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False
