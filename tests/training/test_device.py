"""The device check, classification of device errors, and the memory limit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from leukemia.base.errors import UserError
from leukemia.training import device
from leukemia.training.device import (
    BrokenDevice,
    best_device,
    check_device,
    choose_device,
    is_device_fault,
    is_out_of_memory,
    use_threads,
)

CPU = torch.device("cpu")


def test_a_working_device_passes_without_changing_the_random_state() -> None:
    before = torch.get_rng_state()
    check_device(CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_device_without_a_driver_is_broken() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BrokenDevice, match=r"^cuda cannot run a convolution \(\w+: .*CUDA"):
        check_device(torch.device("cuda"))


@pytest.fixture
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which four CPUs are available; torch's threads are restored."""
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "available_cpus", lambda: 4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("number", "before", "expected", "text"),
    [
        (3, 1, 3, ""),
        (4, 9, 4, ""),
        (6, 1, 6, ", with the study's 6 threads on 4 CPUs: slower, but the same numbers"),
        (None, 2, 2, ""),
        (None, 9, 4, ""),
    ],
)
def test_torch_has_the_threads_of_the_study(
    four_cpus: None, number: int | None, before: int, expected: int, text: str
) -> None:
    torch.set_num_threads(before)
    assert use_threads(number) == text
    assert torch.get_num_threads() == expected


@pytest.mark.parametrize("factor", [1.1, float("nan")])
def test_a_device_with_wrong_results_is_broken(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    convolve, calls = torch.nn.functional.conv2d, []

    def first_wrong(*arguments: object, **settings: object) -> torch.Tensor:
        calls.append(arguments)
        result: torch.Tensor = convolve(*arguments, **settings)  # type: ignore[arg-type]
        return result * factor if len(calls) == 1 else result

    monkeypatch.setattr(device.torch.nn.functional, "conv2d", first_wrong)
    with pytest.raises(BrokenDevice, match=r"^cpu computes wrong results"):
        check_device(CPU)


@pytest.mark.parametrize(
    ("error", "memory", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True, False),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True, False),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), False, True),
        (RuntimeError("CUDA error: unspecified launch failure"), False, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), False, True),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), False, True),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False, True),
        (BrokenDevice("cuda cannot run a convolution"), False, True),
        # Errors of the recipe or the code: they would also occur on another device.
        (RuntimeError("CUDA error: device-side assert triggered"), False, False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), False, False),
        (RuntimeError("shape '[2, 3]' is invalid for input of size 5"), False, False),
        (ValueError("CUDA error: in an unrelated exception"), False, False),
        (MemoryError("out of memory"), False, False),
    ],
)
def test_errors_are_classified(error: Exception, memory: bool, fault: bool) -> None:
    assert is_out_of_memory(error) is memory
    assert is_device_fault(error) is fault


def test_a_cpu_has_no_memory_limit() -> None:
    assert device.device_memory_mb(CPU) == 0.0
    device.limit_memory(CPU, 0.25)


def test_the_memory_limit_of_a_gpu_is_accepted_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: torch validates the arguments, and only the call to the driver is replaced."""
    limits: list[tuple[float, int]] = []
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(device, "device_memory_mb", lambda _: 80_000.0)
    monkeypatch.setattr(
        torch._C, "_cuda_setMemoryFraction", lambda share, index: limits.append((share, index)), raising=False
    )
    device.limit_memory(torch.device("cuda"), 0.25)
    device.limit_memory(torch.device("cuda"), 1.0)
    assert limits == [(0.25 - device.CONTEXT_MB / 80_000, 0)]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A job of Slurm has two GPUs, of which torch finds none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def test_a_job_with_gpus_does_not_take_the_cpu_unasked(no_gpu: pytest.MonkeyPatch) -> None:
    start = "^Slurm gave 2 GPUs, and torch finds none: "
    with pytest.raises(
        UserError, match=start + r"torch \S+ is built for CUDA 13.0; compare the driver in `nvidia-smi`"
    ):
        choose_device("auto")
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(
        UserError, match=start + "CUDA_VISIBLE_DEVICES is empty; remove what sets it, or ask for no GPU"
    ):
        choose_device("auto")
    no_gpu.setattr(torch.version, "cuda", None)
    with pytest.raises(UserError, match=start + r"torch \S+ is built without CUDA; run `make clean setup` without TOR"):
        choose_device("auto")
    assert choose_device("cpu") == CPU
    # For provenance.
    assert best_device().type != "cuda"
    no_gpu.setenv("SLURM_GPUS_ON_NODE", "0")
    assert choose_device("auto") == best_device()


def test_a_job_of_a_version_without_the_number_of_gpus(no_gpu: pytest.MonkeyPatch) -> None:
    no_gpu.delenv("SLURM_GPUS_ON_NODE")
    no_gpu.setenv("SLURM_JOB_GPUS", "3")
    with pytest.raises(UserError, match=r"^Slurm gave 1 GPU, and torch finds none"):
        choose_device("auto")
