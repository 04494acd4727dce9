"""The training device: selection, precision, health check, error classification, memory limit."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from leukemia.base.cpus import available_cpus
from leukemia.base.errors import UserError, first_line
from leukemia.base.gpus import NO_DEVICES, VISIBLE, gpus_of_job
from leukemia.base.quantity import quantity
from leukemia.config.recipe import Recipe


def choose_device(name: str) -> torch.device:
    """The device named ``name``; ``auto`` selects cuda, else mps, else cpu.

    Raises:
        UserError: the device is not available on this machine; or ``auto`` would select the CPU in a Slurm job that
            has GPUs.
    """
    if name == "auto":
        require_gpus_of_job(os.environ)
        return best_device()
    available = _available()
    if name not in available:
        raise UserError(f"--device {name}: not available on this machine; use one of {', '.join(available)}, or auto")
    return torch.device(name)


def best_device() -> torch.device:
    """The first of cuda, mps and cpu that this machine has."""
    return torch.device(_available()[0])


def _available() -> list[str]:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, is_present in present.items() if is_present]


def require_gpus_of_job(environment: Mapping[str, str]) -> None:
    """Refuse to compute on a CPU, which may take days, in a Slurm job that has GPUs; a no-op elsewhere.

    Raises:
        UserError: torch finds none of them; the message says why.
    """
    number = gpus_of_job(environment)
    if not number or torch.cuda.is_available():
        return
    if torch.version.cuda is None and torch.version.hip is None:
        why, fix = f"torch {torch.__version__} is built without CUDA", "run `make clean setup` without TORCH_INDEX"
    elif environment.get(VISIBLE) in NO_DEVICES:
        why, fix = f"{VISIBLE} is {environment[VISIBLE] or 'empty'}", "remove what sets it"
    else:
        why = f"torch {torch.__version__} is built for CUDA {torch.version.cuda or torch.version.hip}"
        fix = "compare the driver in `nvidia-smi`, and choose a build for it with `make clean setup TORCH_INDEX=...`"
    raise UserError(
        f"Slurm gave {quantity(number, 'GPU')}, and torch finds none: {why}; {fix}, or ask for no GPU and give "
        "--device cpu"
    )


def describe_device(device: torch.device) -> str:
    """Device and hardware name for provenance, such as ``cuda (NVIDIA H100)`` or ``cpu (AMD EPYC)``."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({_processor()})"


def use_threads(number: int | None) -> str:
    """Set the number of threads that torch computes with, whatever ``OMP_NUM_THREADS`` says.

    On a CPU it determines the order of sums, and so the results: a study has one number for all machines.

    Args:
        number: None for torch's own number, or that of the available CPUs if they are fewer.

    Returns:
        Text to append to a message if there are more threads than CPUs, otherwise empty.
    """
    cpus = available_cpus()
    torch.set_num_threads(min(torch.get_num_threads(), cpus) if number is None else number)
    return "" if number is None else describe_excess(number, cpus)


def describe_excess(threads: int, cpus: int) -> str:
    """Text to append to a message if a study needs more threads than there are CPUs, otherwise empty."""
    if threads <= cpus:
        return ""
    return f", with the study's {threads} threads on {cpus} CPU{'s' * (cpus > 1)}: slower, but the same numbers"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def compute_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Precision of the forward pass: the recipe's; for ``auto``, bfloat16 if the device supports it natively.

    Raises:
        UserError: bfloat16 is requested on a device without native support.
    """
    native = _has_bfloat16(device)
    if recipe.train.precision == "bfloat16" and not native:
        raise UserError(
            f"train.precision: no native bfloat16 on {describe_device(device)}; use auto, which selects float32"
        )
    return torch.bfloat16 if native and recipe.train.precision != "float32" else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # On other CPUs oneDNN emulates bfloat16, which is slower than float32.
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


class BrokenDevice(RuntimeError):
    """The device fails or computes wrong results: the machine is at fault, not the recipe."""


def check_device(device: torch.device) -> None:
    """Compute a small convolution, forward and backward, and compare it with the CPU's result.

    Does not change the global random state. Takes about a millisecond, plus GPU initialization on first use.

    Raises:
        BrokenDevice: the driver does not start, or the device fails or computes wrong results.
    """
    try:
        wrong = [not torch.allclose(actual, expected, rtol=0.02, atol=0.02) for actual, expected in _convolved(device)]
    except Exception as error:
        # Drivers and their libraries may raise anything.
        raise BrokenDevice(
            f"{device.type} cannot run a convolution ({type(error).__name__}: {first_line(error)})"
        ) from None
    if any(wrong):
        raise BrokenDevice(f"{device.type} computes wrong results: a convolution differs from the CPU's")


def _convolved(device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Output and gradient of a convolution, each as (on the device, on the CPU)."""
    steps = torch.linspace(-1.0, 1.0, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    kernel = torch.linspace(-0.5, 0.5, 4 * 3 * 3 * 3).reshape(4, 3, 3, 3)
    found = []
    for target in (device, torch.device("cpu")):
        weight = kernel.to(target, copy=True).requires_grad_()
        result = torch.nn.functional.conv2d(steps.to(target), weight, padding=1)
        (result.square().mean()).backward()
        assert weight.grad is not None
        found.append((result.detach().cpu(), weight.grad.cpu()))
    return list(zip(*found, strict=True))


OUT_OF_MEMORY_MARKERS = ("out of memory", "ALLOC_FAILED")
RECIPE_MARKERS = ("device-side assert", "NOT_SUPPORTED", "BAD_PARAM", "INVALID_VALUE")
DEVICE_MARKERS = ("CUDA error", "CUDA driver", "uncorrectable ECC", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS")
"""Parts of torch's error messages: out of memory, an operation that the recipe makes invalid, a device failure."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device is out of memory, because of the recipe or of other processes on the device."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _mentions(error, DEVICE_MARKERS) and _mentions(error, OUT_OF_MEMORY_MARKERS)
    )


def is_device_fault(error: Exception) -> bool:
    """Whether the device or its driver failed: the same work may succeed on another device."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error) or _mentions(error, RECIPE_MARKERS):
        return False
    return isinstance(error, BrokenDevice) or _mentions(error, DEVICE_MARKERS)


def _mentions(error: Exception, markers: tuple[str, ...]) -> bool:
    return any(marker.lower() in str(error).lower() for marker in markers)


def device_memory_mb(device: torch.device) -> float:
    """Total memory of a GPU; 0 for other devices."""
    return torch.cuda.get_device_properties(device).total_memory / 1e6 if device.type == "cuda" else 0.0


CONTEXT_MB = 1000
"""GPU memory of a process in addition to its tensors: the CUDA context, kernels of cuDNN and cuBLAS."""


def limit_memory(device: torch.device, share: float) -> None:
    """Limit this process to a share of the GPU's memory, so that exceeding it fails here and not in another process.

    Args:
        share: share of the device, in 0..1; 1 sets no limit.
    """
    if device.type == "cuda" and share < 1:
        total = device_memory_mb(device)
        # For the current device: unlike other functions, this one rejects a device without an index, such as ``cuda``.
        torch.cuda.set_per_process_memory_fraction(max(0.01, share - CONTEXT_MB / total))
