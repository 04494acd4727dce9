"""Faults of the machine (disk, memory, permissions, processes), as opposed to those of a recipe or of the code."""

from __future__ import annotations

import errno

from leukemia.base.errors import ADVICE, first_line

MARKERS = {
    "can't start new thread": errno.EAGAIN,
    "Too many open files": errno.EMFILE,
    "No space left on device": errno.ENOSPC,
    "Input/output error": errno.EIO,
    "received 0 items of ancdata": errno.EMFILE,
    "Shared memory manager connection": errno.EMFILE,
    "unable to open shared memory object": errno.EMFILE,
    "unable to mmap": errno.ENOMEM,
    "DataLoader worker (pid": errno.ENOMEM,
    "DefaultCPUAllocator": errno.ENOMEM,
    "Cannot allocate memory": errno.ENOMEM,
    "std::bad_alloc": errno.ENOMEM,
}
"""Parts of the messages with which Python, torch and its loader report such a fault as a ``RuntimeError``, and the
number of the error that it is; the first that is found counts."""

DEVICE_MEMORY = "out of memory"
"""Part of the messages with which torch reports that the memory of a GPU is full."""


class MachineFault(RuntimeError):
    """The machine fails, or lacks something that the work needs; the message says what."""


def is_machine_fault(error: BaseException) -> bool:
    """Whether the machine is at fault: the same work may succeed on another one, or later.

    A recipe only computes, so every ``OSError`` is the machine's: a full or failing disk, missing permissions, a file
    that has vanished, too many processes or open files. So is an error that was raised from one of these.
    """
    if isinstance(error, (OSError, MemoryError, MachineFault)):
        return True
    if error.__cause__ is not None and is_machine_fault(error.__cause__):
        return True
    return isinstance(error, RuntimeError) and any(marker in str(error) for marker in MARKERS)


def advice_on(error: MemoryError | RuntimeError) -> str | None:
    """What to do about too little memory, processes or open files, or a disk's failure; None for other errors."""
    if isinstance(error, MemoryError):
        return ADVICE[errno.ENOMEM]
    for marker, number in MARKERS.items():
        if marker in str(error):
            return ADVICE[number]
    if DEVICE_MEMORY in str(error):
        return "end other programs on the device, choose another --device, or lower train.batch_size"
    return None


def describe_fault(error: BaseException) -> str:
    """One line about an error, with the file of an ``OSError``.

    >>> describe_fault(OSError(28, "No space left on device", "/cache/fold_0.pt"))
    'No space left on device: /cache/fold_0.pt'
    >>> describe_fault(MemoryError())
    'out of memory'
    """
    if isinstance(error, MemoryError):
        return f"out of memory ({error})" if str(error) else "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return first_line(error)
