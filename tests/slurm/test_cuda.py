"""A job with GPUs needs a torch that can use them."""

from __future__ import annotations

import pytest
import torch

from leukemia.base.errors import UserError
from search.slurm.cuda import require_cuda

ONE, TWO = {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_ON_NODE": "2"}
HIDDEN = {"SLURM_GPUS_ON_NODE": "2"}


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Torch finds no GPU, also on a machine that has one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "hip", None)
    return monkeypatch


@pytest.mark.parametrize(
    ("device", "environment", "number"), [("auto", ONE, "1 GPU"), ("cuda", TWO, "2 GPUs"), ("auto", HIDDEN, "2 GPUs")]
)
def test_a_build_without_cuda(
    no_gpu: pytest.MonkeyPatch, device: str, environment: dict[str, str], number: str
) -> None:
    no_gpu.setattr(torch.version, "cuda", None)
    with pytest.raises(
        UserError, match=rf"^Slurm gave {number}, and torch finds none: torch \S+ is built without CUDA; run `make cle"
    ):
        require_cuda(device, environment)


def test_a_build_that_the_driver_does_not_know(no_gpu: pytest.MonkeyPatch) -> None:
    no_gpu.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UserError, match=r"torch \S+ is built for CUDA 13.0; compare the driver in `nvidia-smi`, and"):
        require_cuda("auto", ONE)


def test_jobs_that_need_no_cuda(no_gpu: pytest.MonkeyPatch) -> None:
    require_cuda("cpu", ONE)
    require_cuda("cpu", HIDDEN)
    require_cuda("auto", {"CUDA_VISIBLE_DEVICES": "NoDevFiles"})
    require_cuda("auto", {})


def test_a_build_that_finds_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_cuda("auto", ONE)
    require_cuda("auto", TWO)


@pytest.mark.parametrize("visible", [{}, {"CUDA_VISIBLE_DEVICES": ""}])
def test_gpus_that_no_variable_names(monkeypatch: pytest.MonkeyPatch, visible: dict[str, str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UserError, match=r"^Slurm gave 2 GPUs, and CUDA_VISIBLE_DEVICES names none, from which the"):
        require_cuda("auto", HIDDEN | visible)
