"""Ranger21 over flat memory: the arithmetic of ranger21 0.1.0 in a number of kernels that hardly depends on depth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BETA1, BETA2 = 0.9, 0.999
EPS = 1e-8
WEIGHT_DECAY, NORM_LOSS = 1e-4, 1e-4
CLIP, CLIP_EPS = 1e-2, 1e-3
"""Adaptive gradient clipping: norm of a row's gradient in relation to the row's own norm, and the least such norm."""

SOFTPLUS_BETA = 50.0
LOOKAHEAD_STEPS, LOOKAHEAD_SHARE = 5, 0.5
"""The weights are averaged with those of the last merge every so many steps; the share of the newer ones."""

CHUNK = 65536
"""Values per thread that a CPU takes through all operations at once: those of six arrays, 1.5 MB, and what lies between
fit into its cache. A multiple of every vector length, so that results do not depend on it."""

STATE = ("grad_ma", "neg_grad_ma", "variance_ma", "lookahead_params")
"""State of each parameter, named as in the package, whose ``max_variance_ma`` is always zero."""


@dataclass(frozen=True)
class Block:
    """Neighbouring rows of equal length; a row is an output channel, or a whole parameter of fewer than 2 dimensions.

    All are centralized if they are rows of matrices.
    """

    values: slice
    rows: slice
    length: int
    is_matrix: bool

    def of(self, flat: Tensor) -> Tensor:
        """Its values (rows, length) in a flat tensor."""
        return flat[self.values].view(-1, self.length)


class Ranger21(torch.optim.Optimizer):
    """Ranger21 (Wright & Demeure, arXiv:2106.13731) as version 0.1.0 of the package computes it by default.

    Each step: adaptive gradient clipping by rows, gradient centralization and normalization, positive-negative momentum
    over a softplus of the second moment, and lookahead every five steps. Defects of the package are kept: weight decay
    and norm loss affect the last parameter only, gradients are normalized a second time before they enter the momentum,
    and the maximum of the second moments is that of zero. The learning rate is that of the parameter group; warm-up and
    warm-down are a schedule (``leukemia.training.optim``).

    Parameters become views of one flat tensor, sorted by the length of their rows, in their present memory formats, so
    move a model to its device before. Sums are computed in another order than in the package: results agree to about
    1e-5 of what the weights move. A step never synchronizes with the device.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float) -> None:
        """
        Args:
            params: float32, on one device, without gaps in memory; all of them have gradients in every step.
        """
        super().__init__(params, {"lr": lr, "step": 0})
        (group,) = self.param_groups
        parameters: list[nn.Parameter] = group["params"]
        self._last = parameters[-1]
        # Matrices first, and long rows first: the tiny parameters at the end leave all others aligned.
        self._parameters = sorted(parameters, key=lambda each: (each.dim() < 2, -_row_length(each)))
        num_values = sum(each.numel() for each in parameters)
        self._weights, self._gradient, *state = (
            torch.zeros(num_values, device=self._last.device) for _ in range(2 + len(STATE))
        )
        self._state = dict(zip(STATE, state, strict=True))
        self._blocks: list[Block] = []
        self._gradients: list[Tensor] = []
        start = row = 0
        for parameter in self._parameters:
            end = start + parameter.numel()
            self._weights[start:end] = _in_memory_order(parameter.detach(), parameter)
            parameter.data = _view_like(parameter, self._weights[start:end])
            self.state[parameter] = {
                name: _view_like(parameter, values[start:end]) for name, values in self._state.items()
            }
            self._gradients.append(self._gradient[start:end])
            row = self._add_to_block(parameter, start, row)
            start = end
        sizes = torch.tensor([each.numel() for each in self._parameters], device=self._last.device)
        counts = torch.tensor([each.numel() // _row_length(each) for each in self._parameters])
        self._set_rows(counts.tolist(), sizes)
        self._failed_step = torch.zeros((), dtype=torch.int64, device=self._last.device)

    def _add_to_block(self, parameter: Tensor, start: int, row: int) -> int:
        """Add a parameter's rows to the last block, or to a new one; returns the next row."""
        length, is_matrix, end = _row_length(parameter), parameter.dim() >= 2, start + parameter.numel()
        next_row = row + parameter.numel() // length
        if self._blocks and (self._blocks[-1].length, self._blocks[-1].is_matrix) == (length, is_matrix):
            last = self._blocks.pop()
            start, row = last.values.start, last.rows.start
        self._blocks.append(Block(slice(start, end), slice(row, next_row), length, is_matrix))
        return next_row

    def _set_rows(self, counts: list[int], sizes: Tensor) -> None:
        """Prepare the sums over the rows of each matrix and the scales of the rows of each parameter."""
        device, num_matrices = sizes.device, sum(each.dim() >= 2 for each in self._parameters)
        self._num_matrix_rows = sum(counts[:num_matrices])
        self._parameter_of_row = torch.repeat_interleave(torch.tensor(counts)).to(device)
        # One row of indices per matrix, filled up with that of an additional zero: sums in a fixed order, unlike
        # those of atomic additions.
        most = max(counts[:num_matrices], default=0)
        first = torch.tensor([0, *counts]).cumsum(0)[:num_matrices, None]
        index = first + torch.arange(most)
        own = torch.arange(most) < torch.tensor(counts[:num_matrices], dtype=torch.int64)[:, None]
        self._rows_of_matrix = torch.where(own, index, self._num_matrix_rows).to(device)
        self._matrix_freedom = (sizes[:num_matrices] - 1).clamp(min=1).float()
        # Parameters of up to two values are not normalized.
        self._is_normalized = (sizes > 2)[self._parameter_of_row]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the weights. Gradients that cannot be used are recorded: see ``failed_step``."""
        (group,) = self.param_groups
        group["step"] += 1
        step, learning_rate = group["step"], float(group["lr"])
        if step == 1:
            self._state["lookahead_params"].copy_(self._weights)
        self._gather()
        again = self._normalize()
        for chunk in self._chunks():
            gradient = self._gradient[chunk]
            self._state["variance_ma"][chunk].mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        variance = self._state["variance_ma"]
        deviation = (variance.sum() / ((1 - BETA2**step) * variance.numel())).sqrt_()
        self._record_failure(deviation, step)
        self._decay_last(learning_rate, deviation)
        for block in self._blocks:
            block.of(self._gradient).mul_(again[block.rows])
        for chunk in self._chunks():
            self._move(chunk, step, learning_rate)

    def _chunks(self) -> list[slice]:
        """Parts of flat memory, each of which goes through all of its operations before the next.

        On a CPU a part stays in the cache meanwhile. A GPU takes everything at once: it would wait for launches. Values
        are independent of each other, so the parts change no result.
        """
        count = self._weights.numel()
        size = CHUNK * torch.get_num_threads() if self._weights.device.type == "cpu" else count
        return [slice(start, start + size) for start in range(0, count, size)]

    def _move(self, chunk: slice, step: int, learning_rate: float) -> None:
        """Update a part of the momentum and of the weights, whose second moments are those of this step."""
        weights, gradient = self._weights[chunk], self._gradient[chunk]
        momentum, negative, variance, slow = (
            self._state[name][chunk] for name in ("grad_ma", "neg_grad_ma", "variance_ma", "lookahead_params")
        )
        if step % 2 == 0:
            momentum, negative = negative, momentum
        momentum.mul_(BETA1**2).add_(gradient, alpha=1 - BETA1**2)
        noise_norm = math.sqrt((1 + BETA2) ** 2 + BETA2**2)
        # The gradient is not needed any more: its memory takes the direction.
        direction = torch.mul(momentum, 2 / noise_norm, out=gradient).sub_(negative, alpha=1 / noise_norm)
        second = variance.sqrt().div_(math.sqrt(1 - BETA2**step)).add_(EPS)
        denominator = F.softplus(second, beta=SOFTPLUS_BETA)
        weights.addcdiv_(direction, denominator, value=-learning_rate / (1 - BETA1**step))
        if step % LOOKAHEAD_STEPS == 0:
            weights.mul_(LOOKAHEAD_SHARE).add_(slow, alpha=1 - LOOKAHEAD_SHARE)
            slow.copy_(weights)

    def _gather(self) -> None:
        """Copy all gradients into flat memory."""
        gradients = []
        for parameter in self._parameters:
            assert parameter.grad is not None, "a parameter has no gradient"
            gradients.append(_in_memory_order(parameter.grad, parameter))
        torch._foreach_copy_(self._gradients, gradients)

    def _normalize(self) -> Tensor:
        """Clip, centralize and normalize the flat gradient.

        Returns:
            float32 (rows, 1): the scale of the second normalization. Standard deviations do not depend on the mean, and
            centralized rows remain so, so that it follows from the first.
        """
        pairs = [(block.of(self._weights), block.of(self._gradient)) for block in self._blocks]
        limits = torch.cat([_norms(weights) for weights, _ in pairs]).clamp_(min=CLIP_EPS).mul_(CLIP)
        norms = torch.cat([_norms(gradient) for _, gradient in pairs])
        clip = torch.where(norms > limits, limits / norms.clamp(min=1e-6), 1.0)
        deviations = []
        for block, (_, gradient) in zip(self._blocks, pairs, strict=True):
            if block.is_matrix:
                gradient.sub_(gradient.mean(dim=1, keepdim=True))
                deviations.append(_norms(gradient))
            else:
                # Of one or two values it is not used, and of one it is not defined.
                deviations.append(gradient.std(dim=1) if block.length > 2 else _norms(gradient))
        # Of matrices: norms of rows up to here.
        deviation = torch.cat(deviations).mul_(clip)
        if self._num_matrix_rows:
            squares = F.pad(deviation[: self._num_matrix_rows].square(), (0, 1))[self._rows_of_matrix].sum(dim=1)
            of_matrices = squares.div_(self._matrix_freedom).sqrt_()
            deviation = torch.cat([of_matrices, deviation[self._num_matrix_rows :]])
        deviation = deviation[self._parameter_of_row]
        first = deviation + EPS
        again = torch.where(self._is_normalized, 1 / (deviation / first + EPS), 1.0)
        scale = torch.where(self._is_normalized, clip / first, clip)[:, None]
        for block, (_, gradient) in zip(self._blocks, pairs, strict=True):
            gradient.mul_(scale[block.rows])
        return again[:, None]

    def _decay_last(self, learning_rate: float, deviation: Tensor) -> None:
        """Stable weight decay and norm loss, which the package applies to its last parameter only."""
        last = self._last
        last.mul_(1 - WEIGHT_DECAY * learning_rate / deviation)
        dims = None if last.dim() < 2 else tuple(range(1, last.dim()))
        norm = torch.linalg.vector_norm(last, dim=dims, keepdim=dims is not None)
        last.mul_(1 - learning_rate * 2 * NORM_LOSS * (1 - 1 / (norm + EPS)))

    def _record_failure(self, deviation: Tensor, step: int) -> None:
        """Record a step whose second moments are NaN, or all zero: the package refuses both."""
        is_first = (self._failed_step == 0) & ~(deviation > 0)
        self._failed_step.add_(is_first, alpha=step)

    def failed_step(self) -> int:
        """The first step, counted from 1, with NaN gradients, or with all zero from the start; 0 if there is none.

        Synchronizes with the device.
        """
        return int(self._failed_step)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of the same parameters; it is copied into flat memory."""
        assert "step" in state_dict["param_groups"][0], "the state belongs to another optimizer"
        views = {parameter: self.state[parameter] for parameter in self._parameters}
        super().load_state_dict(state_dict)
        for parameter, own in views.items():
            for name, view in own.items():
                view.copy_(self.state[parameter][name])
            self.state[parameter] = own


def _row_length(parameter: Tensor) -> int:
    return parameter.numel() if parameter.dim() < 2 else parameter.numel() // parameter.shape[0]


def _norms(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1)


def _memory_order(parameter: Tensor) -> list[int]:
    """Its dimensions, outermost first: channels last or not, a row is contiguous."""
    inner = sorted(range(1, parameter.dim()), key=parameter.stride, reverse=True)
    return [0, *inner] if parameter.dim() else []


def _in_memory_order(values: Tensor, parameter: Tensor) -> Tensor:
    """Values of a parameter's shape, (n,), in the order of its memory; copied only if they have another."""
    return values.permute(_memory_order(parameter)).reshape(-1)


def _view_like(parameter: Tensor, flat: Tensor) -> Tensor:
    """A view of (n,) values in memory order with the parameter's shape and memory format."""
    order = _memory_order(parameter)
    inverse = [order.index(dim) for dim in range(parameter.dim())]
    return flat.view([parameter.shape[dim] for dim in order]).permute(inverse)
