"""The device that trains: chosen or asked for, and what it computes natively."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from leukemia.base.errors import UserError, first_line
from leukemia.config.recipe import Recipe


def choose_device(name: str) -> torch.device:
    """``auto`` takes cuda, then mps, then cpu; a device asked for by name must be there.

    Raises:
        UserError: the device is not available on this machine.
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
        raise UserError(f"--device {name}: not available on this machine; use one of {', '.join(available)}, or auto")
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
        UserError: bfloat16 was asked for on a device without it.
    """
    native = _has_bfloat16(device)
    if recipe.train.precision == "bfloat16" and not native:
        raise UserError(
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


class BrokenDevice(RuntimeError):
    """The device computes nothing, or something wrong: the machine is at fault, no recipe."""


def check_device(device: torch.device) -> None:
    """Let the device compute a small convolution forward and backward, and hold it against the processor's result.

    Global random state is left alone. Takes about a millisecond, and the start of the GPU's driver at first.

    Raises:
        BrokenDevice: the driver does not start, the device does not compute, or it computes something else.
    """
    try:
        wrong = [not torch.allclose(theirs, ours, rtol=0.02, atol=0.02) for theirs, ours in _convolved(device)]
    except Exception as error:
        # Drivers and their libraries raise whatever they like.
        raise BrokenDevice(f"{device.type} does not compute ({type(error).__name__}: {first_line(error)})") from None
    if any(wrong):
        raise BrokenDevice(f"{device.type} computes wrong numbers: a convolution differs from the processor's")


def _convolved(device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Result and gradient of a convolution: the device's beside the processor's. NaN is equal to nothing."""
    steps = torch.linspace(-1.0, 1.0, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    kernel = torch.linspace(-0.5, 0.5, 4 * 3 * 3 * 3).reshape(4, 3, 3, 3)
    found = []
    for place in (device, torch.device("cpu")):
        weight = kernel.to(place, copy=True).requires_grad_()
        result = torch.nn.functional.conv2d(steps.to(place), weight, padding=1)
        (result.square().mean()).backward()
        assert weight.grad is not None
        found.append((result.detach().cpu(), weight.grad.cpu()))
    return list(zip(*found, strict=True))


MEMORY_WORDS = ("out of memory", "ALLOC_FAILED")
RECIPE_WORDS = ("device-side assert", "NOT_SUPPORTED", "BAD_PARAM", "INVALID_VALUE")
DEVICE_WORDS = ("CUDA error", "CUDA driver", "uncorrectable ECC", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS")
"""What torch's errors contain: of a lack of memory, of a mistake in what was asked for, of a device that fails."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device had too little memory: the recipe's doing, or that of whoever shares the device."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _has(error, DEVICE_WORDS) and _has(error, MEMORY_WORDS)
    )


def is_device_fault(error: Exception) -> bool:
    """Whether the device, or its driver, failed in the middle: the same work may succeed on another one."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error) or _has(error, RECIPE_WORDS):
        return False
    return isinstance(error, BrokenDevice) or _has(error, DEVICE_WORDS)


def _has(error: Exception, words: tuple[str, ...]) -> bool:
    return any(word.lower() in str(error).lower() for word in words)


def device_memory_mb(device: torch.device) -> float:
    """All memory of a GPU, 0 elsewhere."""
    return torch.cuda.get_device_properties(device).total_memory / 1e6 if device.type == "cuda" else 0.0


CONTEXT_MB = 1000
"""Memory of a GPU that a process takes beside its tensors: CUDA's context, the kernels of cuDNN and cuBLAS."""


def limit_memory(device: torch.device, share: float) -> None:
    """Keep this process to its share of a GPU's memory, so that whoever asks for more fails, not its neighbour.

    Args:
        share: of the device, 0..1; a whole one is not limited.
    """
    if device.type == "cuda" and share < 1:
        total = device_memory_mb(device)
        # Of the current device, which ``cuda`` names: a device without a number is refused here, and only here.
        torch.cuda.set_per_process_memory_fraction(max(0.01, share - CONTEXT_MB / total))
