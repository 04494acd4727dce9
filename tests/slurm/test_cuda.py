"""A job with GPUs needs a torch that can use them."""

from __future__ import annotations

import pytest
import torch

from leukemia.base.errors import UserError
from search.slurm.cuda import require_cuda

ONE, TWO = {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "0,1"}


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Torch finds no GPU, also on a machine that has one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "hip", None)
    return monkeypatch


def test_a_build_without_cuda(no_gpu: pytest.MonkeyPatch) -> None:
    no_gpu.setattr(torch.version, "cuda", None)
    with pytest.raises(
        UserError, match=r"^1 GPU of Slurm, and torch \S+, which is built without CUDA; run `make clean"
    ):
        require_cuda("auto", ONE)
    with pytest.raises(UserError, match=r"^2 GPUs of Slurm"):
        require_cuda("cuda", TWO)


def test_a_build_that_the_driver_does_not_know(no_gpu: pytest.MonkeyPatch) -> None:
    no_gpu.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UserError, match=r"built for CUDA 13.0, cannot use them; compare the driver in `nvidia-smi`"):
        require_cuda("auto", ONE)


def test_jobs_that_need_no_cuda(no_gpu: pytest.MonkeyPatch) -> None:
    require_cuda("cpu", ONE)
    require_cuda("auto", {"CUDA_VISIBLE_DEVICES": "NoDevFiles"})
    require_cuda("auto", {})


def test_a_build_that_finds_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_cuda("auto", ONE)
