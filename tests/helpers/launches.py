"""Kernel launches, counted without a GPU."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = (
    "_reshape_alias", "_unsafe_view", "alias", "as_strided", "detach", "empty", "expand", "lift_fresh", "permute",
    "select", "slice", "split", "squeeze", "t.default", "transpose", "unbind", "unsqueeze", "view",
)  # fmt: skip
"""Operations that compute nothing."""


class Launches(TorchDispatchMode):
    """Counts the operations that write memory, each a kernel launch on a GPU, and those that would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.synchronizations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        if name.startswith(("_local_scalar_dense", "nonzero", "masked_select", "unique")):
            self.synchronizations += 1
        elif not name.startswith(VIEWS):
            self.count += 1
        return func(*args, **(kwargs or {}))
