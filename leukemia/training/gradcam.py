"""Where a network looks: Grad-CAM, averaged over the views of test-time augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor
from torch.nn import functional

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.data.evaluation import evaluation_batches
from leukemia.training.ensemble import Network, members_of
from leukemia.training.inference import NUM_VIEWS, VIEWS_PER_PASS, transforms_of, views_of
from leukemia.training.resnet import ResNet

SMALLEST_MAP = 7
"""Cells along a side: a map of fewer does not tell the parts of a cell apart. ResNet's last stage has 7 at 224 px."""


def stage_of(size_px: int) -> int:
    """The deepest of the four stages, 1 to 4, whose map has at least 7 x 7 cells; 1 if none has.

    >>> [stage_of(size_px) for size_px in (24, 48, 96, 224)]
    [1, 1, 2, 4]
    """
    # The stem halves the side twice, and each later stage once more; halves are rounded up.
    sides = {stage: -(-size_px // 2 ** (stage + 1)) for stage in (1, 2, 3, 4)}
    return max((stage for stage, side in sides.items() if side >= SMALLEST_MAP), default=1)


def relevance(
    model: Network,
    recipe: Recipe,
    images: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    classes: np.ndarray,
    *,
    device: torch.device,
    tta: Tta,
) -> np.ndarray:
    """What in each image speaks for a class (Selvaraju et al., "Grad-CAM", arXiv:1610.02391, section 3).

    The maps of all views are turned back, and averaged. Computed in float32. The map of an ensemble is the mean of its
    members' maps, each from the gradients of that member's own logit.

    Args:
        model: on ``device``; used, and left, in eval mode.
        images: uint8 (n, H, W, 3), in the recipe's crop and size.
        classes: int64 (len(rows),): the class of each row's map, 0 or 1.

    Returns:
        float32 (len(rows), H, W), rows in their order, each map divided by its largest value: 0..1. All zeros if
        nothing speaks for the class.
    """
    model.eval()
    shape = images.shape[1:3]
    # Otherwise the activations of all layers before the map's are kept as well, as in training: many gigabytes.
    with _frozen(model):
        of_members = [_maps(member, recipe, images, rows, classes, shape, device, tta) for member in members_of(model)]
    maps = torch.stack(of_members).mean(dim=0)
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return (maps / largest.clamp_min(torch.finfo(maps.dtype).tiny)).cpu().numpy()


@contextmanager
def _frozen(model: Network) -> Iterator[None]:
    """Without gradients of the parameters."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def _maps(
    model: ResNet,
    recipe: Recipe,
    images: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    classes: np.ndarray,
    shape: tuple[int, ...],
    device: torch.device,
    tta: Tta,
) -> Tensor:
    """As ``relevance``, not divided, on the device."""
    cam = LayerGradCam(model, getattr(model, f"layer{stage_of(max(shape))}"))
    parts = [torch.zeros(0, *shape, device=device)]
    of_rows = torch.from_numpy(np.asarray(classes, dtype=np.int64)).to(device)
    for batch in evaluation_batches(images, rows, recipe, max(1, VIEWS_PER_PASS // NUM_VIEWS[tta]), device):
        first = sum(len(part) for part in parts)
        targets = of_rows[first : first + len(batch)].repeat(NUM_VIEWS[tta])
        with torch.enable_grad():
            found = cam.attribute(views_of(batch, tta), target=targets, relu_attributions=True)
        parts.append(_turned_back(found.detach(), shape, tta))
    return torch.cat(parts)


def _turned_back(maps: Tensor, shape: tuple[int, ...], tta: Tta) -> Tensor:
    """The mean over views of maps (V B, 1, h, w), view after view, at the size of the images: (B, H, W)."""
    large = functional.interpolate(maps.float(), size=shape, mode="bilinear", align_corners=False)
    views = large.chunk(NUM_VIEWS[tta])
    back = [transform.deaugment_mask(view) for transform, view in zip(transforms_of(tta), views, strict=True)]
    return torch.stack(back).mean(dim=0).squeeze(dim=1)
