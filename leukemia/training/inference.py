"""Inference: probabilities with test-time augmentation; precise BatchNorm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TypeGuard

import numpy as np
import torch
import ttach
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from leukemia import ALL
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.data.evaluation import evaluation_batches
from leukemia.training.device import compute_dtype
from leukemia.training.ensemble import AnyNetwork

VIEWS_PER_PASS = 64
"""Views per forward pass, of one or more images: bounds memory, and affects results only by rounding."""

VIEWS_PER_PASS_CUDA = 256
"""The same on a GPU, which fewer do not keep busy."""


class NonFinite(RuntimeError):
    """A loss, a weight or a probability is NaN or infinite."""


class NonFiniteProbabilities(NonFinite):
    """A network's output is NaN or infinite, though its weights are finite."""

    def __init__(self, positions: np.ndarray, count: int) -> None:
        super().__init__(f"probabilities of {len(positions)} of {count} images are NaN or infinite")
        self.positions = positions
        """int64, of these images among those that were predicted."""


NUM_VIEWS: dict[Tta, int] = {"none": 1, "flips": 4, "d4": 8}
"""How many views an image has under test-time augmentation."""


def transforms_of(tta: Tta) -> list[ttach.base.Transformer]:
    """What makes each view of an image, and turns it back. The first is the identity.

    They are ttach's: ``flips`` (identity, horizontal, vertical, both) and ``d4`` (these and their transposes).
    """
    if tta == "none":
        return list(ttach.Compose([]))
    return list(ttach.aliases.flip_transform() if tta == "flips" else ttach.aliases.d4_transform())


def views_of(images: Tensor, tta: Tta) -> Tensor:
    """All views of a batch of images (N, C, H, W), view after view: (V N, C, H, W). The first is the image itself."""
    if tta == "none":
        return images
    return torch.cat([transform.augment_image(images) for transform in transforms_of(tta)])


def precise_batchnorm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace BatchNorm's running statistics by those of all ``batches`` together, which may differ in size.

    Running statistics are an exponential average over past weights and lag behind when weights change fast. The
    variance is the population variance: of all values around their common mean, divided by their number (Wu &
    Johnson, "Rethinking Batch in BatchNorm", arXiv:2105.07576, section 3). The model is left in eval mode.

    Args:
        model: changed in place.
        batches: images (N, C, H, W), on the model's device.
    """
    populations = [_Population(module) for module in model.modules() if _has_running_statistics(module)]
    model.train()
    try:
        with torch.no_grad():
            for images in batches:
                model(images)
    finally:
        for population in populations:
            population.close()
    model.eval()


def _has_running_statistics(module: nn.Module) -> TypeGuard[_BatchNorm]:
    return isinstance(module, _BatchNorm) and module.running_mean is not None


class _Population:
    """Statistics of the inputs of one BatchNorm layer: count, mean and squared deviations, merged batch by batch.

    Merging (Chan, Golub & LeVeque, 1983) is exact, and stable in float32, where E[x^2] - E[x]^2 would cancel.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self._norm, self._momentum = norm, norm.momentum
        self._count = 0
        self._mean = torch.zeros_like(norm.running_mean)
        self._squares = torch.zeros_like(norm.running_var)
        # With momentum 1 the buffers contain the statistics of the last batch.
        norm.momentum = 1.0
        self._hook = norm.register_forward_hook(self._merge)

    def _merge(self, norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        batch_mean, batch_variance = self._buffers()
        count = inputs[0].numel() // inputs[0].shape[1]
        total = self._count + count
        delta = batch_mean - self._mean
        # The variance in the buffer is divided by count - 1.
        self._squares += batch_variance * (count - 1) + delta**2 * (self._count * count / total)
        self._mean += delta * (count / total)
        self._count = total

    def close(self) -> None:
        """Write the statistics to the layer; restore its momentum and remove the hook."""
        self._hook.remove()
        self._norm.momentum = self._momentum
        mean, variance = self._buffers()
        mean.copy_(self._mean)
        variance.copy_(self._squares / max(1, self._count))

    def _buffers(self) -> tuple[Tensor, Tensor]:
        mean, variance = self._norm.running_mean, self._norm.running_var
        assert mean is not None
        assert variance is not None
        return mean, variance


def predict(
    model: nn.Module,
    recipe: Recipe,
    images: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    *,
    device: torch.device,
    tta: Tta,
    is_exact: bool = False,
) -> np.ndarray:
    """Probability of class 1 (leukemic) for the given rows, averaged over the views of ``tta``: float64 (len(rows),).

    Arguments and errors as for ``predict_views``.
    """
    return predict_views(model, recipe, images, rows, device=device, tta=tta, is_exact=is_exact).mean(axis=0)


def predict_views(
    model: nn.Module,
    recipe: Recipe,
    images: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    *,
    device: torch.device,
    tta: Tta,
    is_exact: bool = False,
) -> np.ndarray:
    """Probability of class 1 (leukemic) in each view of the given rows.

    Args:
        model: on ``device``; used, and left, in eval mode.
        images: uint8 (n, H, W, 3), in the recipe's crop and size.
        is_exact: compute in float32 whatever the recipe's precision, which is that of training.

    Returns:
        float64 (V, len(rows)), rows in their order; the first view is the image itself.

    Raises:
        NonFiniteProbabilities: weights or activations are too large for the arithmetic.
    """
    model.eval()
    num_views = NUM_VIEWS[tta]
    dtype = torch.float32 if is_exact else compute_dtype(recipe, device)
    batch_size = (VIEWS_PER_PASS_CUDA if device.type == "cuda" else VIEWS_PER_PASS) // num_views
    # Kept on the device until the end: fetching each would wait for it.
    parts = [torch.zeros(num_views, 0, device=device)]
    with (
        torch.inference_mode(),
        _without_tf32() if is_exact else nullcontext(),
        torch.autocast(device.type, dtype, enabled=dtype != torch.float32),
    ):
        for batch in evaluation_batches(images, rows, recipe, batch_size, device):
            # The softmax is taken first: what is averaged over views is probabilities.
            leukemic = model(views_of(batch, tta)).float().softmax(dim=1)[:, ALL]
            parts.append(leukemic.reshape(num_views, len(batch)))
    # MPS has no float64.
    probabilities = torch.cat(parts, dim=1).cpu().numpy().astype(np.float64)
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=0))
    if len(broken):
        raise NonFiniteProbabilities(broken, len(rows))
    return probabilities


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Convolutions in float32 on CUDA: by default cuDNN rounds their inputs to 10 bits (TF32)."""
    earlier = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = earlier


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch of images on the device, channels last: the fastest layout for convolutions."""
    # On MPS, a copy without waiting reads memory that may have been given to another tensor (pytorch issue 189690).
    return batch.to(device, memory_format=torch.channels_last, non_blocking=device.type == "cuda")


def model_to_device(model: AnyNetwork, device: torch.device) -> AnyNetwork:
    """The model on the device, in the same layout."""
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
