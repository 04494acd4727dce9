"""Faults of the machine are told from errors of a recipe or of the code."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.faults import MachineFault, describe_fault, is_machine_fault

MACHINE = [
    *(
        OSError(getattr(errno, name), os.strerror(getattr(errno, name)), "/cache/file")
        for name in (
            "ENOSPC",
            "EDQUOT",
            "EFBIG",
            "EIO",
            "EROFS",
            "EACCES",
            "EPERM",
            "ENOENT",
            "EMFILE",
            "ENFILE",
            "ENOMEM",
            "EAGAIN",
            "ESTALE",
            "ENOTCONN",
        )
    ),
    MemoryError(),
    MachineFault("no weights"),
    MissingFile("model.pretrained: no file at weights.pt"),
    RuntimeError("can't start new thread"),
    RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers"),
    RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("unable to open shared memory object </torch_7> in read-write mode: Too many open files (24)"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("unable to mmap 4096 bytes from file </torch_7>: Cannot allocate memory (12)"),
]

RECIPE_OR_CODE = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    RuntimeError("Caught RuntimeError in DataLoader worker process 0."),
    RuntimeError("CUDA error: device-side assert triggered"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    ValueError("Cannot allocate memory"),
    UserError("train.precision: no native bfloat16"),
]


@pytest.mark.parametrize("error", MACHINE, ids=describe_fault)
def test_faults_of_the_machine(error: Exception) -> None:
    assert is_machine_fault(error)


@pytest.mark.parametrize("error", RECIPE_OR_CODE, ids=describe_fault)
def test_errors_of_a_recipe_or_the_code(error: Exception) -> None:
    assert not is_machine_fault(error)


def test_an_error_that_was_raised_from_a_fault_is_one() -> None:
    error = UserError("weights.pt: expected a state dict, but cannot read it")
    error.__context__ = ValueError("not safetensors")
    assert not is_machine_fault(error)
    error.__cause__ = MemoryError()
    assert is_machine_fault(error)


def test_real_errors_of_torch_are_recognized() -> None:
    with pytest.raises(RuntimeError) as memory:
        torch.empty(2**60)
    assert is_machine_fault(memory.value)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "/cache/a.pt"), "No space left on device: /cache/a.pt"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError("a.npy is damaged"), "a.npy is damaged"),
        (MemoryError(), "out of memory"),
        (MemoryError("Unable to allocate 3 GiB"), "out of memory (Unable to allocate 3 GiB)"),
        (MachineFault("one\ntwo"), "one"),
    ],
)
def test_a_fault_is_described_in_one_line(error: Exception, line: str) -> None:
    assert describe_fault(error) == line
