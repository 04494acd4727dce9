"""The state of a fit after an epoch, as a copy in host memory: training may continue while it is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from leukemia.config.results import Epoch
from leukemia.training.optim import ScheduledOptimizer


@dataclass(frozen=True)
class Snapshot:
    """Everything that the remaining epochs depend on, as tensors and plain values only."""

    _state: dict[str, Any]
    _copied: torch.cuda.Event | None
    """On CUDA, after the copies from the device."""

    @classmethod
    def take(
        cls, model: nn.Module, optimizer: ScheduledOptimizer, device: torch.device, epochs: Sequence[Epoch]
    ) -> Snapshot:
        """Copy the state of a fit. On CUDA the copies are queued on the current stream, before the next step.

        Args:
            epochs: all that are finished.
        """
        is_cuda = device.type == "cuda"
        state = {
            "epochs": [dataclasses.asdict(epoch) for epoch in epochs],
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "torch_random": torch.get_rng_state(),
            "device_random": torch.cuda.get_rng_state(device) if is_cuda else None,
        }
        copy = _copy(state)
        return cls(copy, torch.cuda.current_stream(device).record_event() if is_cuda else None)

    def state(self) -> dict[str, Any]:
        """The copied state, as ``restore`` takes it; waits until the copies from the device are complete."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._state


def restore(
    state: Mapping[str, Any], model: nn.Module, optimizer: ScheduledOptimizer, device: torch.device
) -> list[Epoch]:
    """Give model, optimizer and random generators the state of a snapshot; returns the finished epochs."""
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["torch_random"])
    if device.type == "cuda" and state["device_random"] is not None:
        torch.cuda.set_rng_state(state["device_random"], device)
    return [Epoch(**epoch) for epoch in state["epochs"]]


def _copy(value: Any) -> Any:
    """Tensors are copied, also inside of lists and dictionaries; from CUDA into page-locked memory, without waiting."""
    if isinstance(value, Tensor):
        copy = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return copy.copy_(value, non_blocking=value.is_cuda)
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(each) for each in value)
    return value
