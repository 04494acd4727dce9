"""Kernel launches and synchronizations of a GPU, counted without one: by the operations that torch dispatches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WITHOUT_KERNEL = ("_unsafe_view", "empty", "new_empty", "is_", "size", "stride", "sym_")
"""Beginnings of the names of operations that launch no kernel; views are known by their schema."""

SYNCHRONIZING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique")
"""The same of operations whose result, or its shape, the CPU waits for."""

TENSORS_PER_LAUNCH = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
"""How many tensors one multi-tensor kernel takes, by its number of lists (torch's ``MultiTensorApply.cuh``)."""

CHUNK_ELEMENTS, CHUNKS_PER_LAUNCH = 65_536, 320
"""The same for elements: a kernel takes 320 chunks of 65,536 elements."""


class Launches(TorchDispatchMode):
    """Counts the launches and synchronizations within its context, on any device (also ``meta``)."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.synchronizations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.__name__
        if name.startswith(SYNCHRONIZING) or _selects(name, args):
            self.synchronizations += 1
        elif name.startswith(("_foreach", "_fused")):
            self.count += _multi_tensor_launches(args)
        elif not (func.is_view or name.startswith(WITHOUT_KERNEL)):
            self.count += 1
        return func(*args, **(kwargs or {}))


def _selects(name: str, arguments: Sequence[Any]) -> bool:
    """Whether a mask chooses elements, so that their number has to be known."""
    return name == "index.Tensor" and any(each is not None and each.dtype == torch.bool for each in arguments[1])


def _multi_tensor_launches(arguments: Sequence[Any]) -> int:
    lists = [each for each in arguments if isinstance(each, (list, tuple)) and each and isinstance(each[0], Tensor)]
    if not lists:
        return 1
    tensors = -(-len(lists[0]) // TENSORS_PER_LAUNCH[min(len(lists), max(TENSORS_PER_LAUNCH))])
    chunks = sum(-(-tensor.numel() // CHUNK_ELEMENTS) for tensor in lists[0])
    return max(tensors, -(-chunks // CHUNKS_PER_LAUNCH))
