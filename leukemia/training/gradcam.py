"""Where a network looks: Grad-CAM, averaged over the views of test-time augmentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn import functional

from leukemia.base.errors import UserError, first_line
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.data.evaluation import evaluation_batches
from leukemia.training.device import is_device_fault, is_out_of_memory
from leukemia.training.ensemble import members_of
from leukemia.training.inference import NUM_VIEWS, VIEWS_PER_PASS, transforms_of, views_of

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


class NoMap(UserError):
    """A network has no layer whose map tells the parts of a cell apart; the message names it."""


def layer_of(model: nn.Module, recipe: Recipe, side_px: int) -> nn.Module:
    """The layer whose map is shown: of a ResNet that of ``stage_of``, of another network its last map that is not too
    small.

    That is the output of the module that ends last among those that run once and give a map of at least 7 x 7 cells;
    padding does not count, since it is no stage of a network.

    Args:
        model: on any device; used, and left, in eval mode.
        side_px: of the images.

    Raises:
        NoMap: there is none.
    """
    if recipe.model.is_resnet:
        return getattr(model, f"layer{stage_of(side_px)}")
    outputs: list[tuple[nn.Module, Any]] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: outputs.append((module, output)))
        for module in model.modules()
        if module is not model and not type(module).__module__.startswith(nn.modules.padding.__name__)
    ]
    image = next(model.parameters()).new_zeros(1, 1 if recipe.data.grayscale else 3, side_px, side_px)
    try:
        with torch.no_grad():
            model.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
    runs = Counter(id(module) for module, _ in outputs)
    found = [module for module, output in outputs if runs[id(module)] == 1 and _is_map(output)]
    if not found:
        raise NoMap(
            f"the network {recipe.model.network} has no layer with a map of at least {SMALLEST_MAP} x {SMALLEST_MAP} "
            f"cells at {side_px} px: Grad-CAM cannot show where it looks"
        )
    return found[-1]


def _is_map(output: Any) -> bool:
    return isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) >= SMALLEST_MAP


def relevance(
    model: nn.Module,
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

    Raises:
        NoMap: as ``layer_of``.
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
def _frozen(model: nn.Module) -> Iterator[None]:
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
    model: nn.Module,
    recipe: Recipe,
    images: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    classes: np.ndarray,
    shape: tuple[int, ...],
    device: torch.device,
    tta: Tta,
) -> Tensor:
    """As ``relevance``, not divided, on the device."""
    cam = LayerGradCam(model, layer_of(model, recipe, max(shape)))
    parts = [torch.zeros(0, *shape, device=device)]
    of_rows = torch.from_numpy(np.asarray(classes, dtype=np.int64)).to(device)
    for batch in evaluation_batches(images, rows, recipe, max(1, VIEWS_PER_PASS // NUM_VIEWS[tta]), device):
        first = sum(len(part) for part in parts)
        targets = of_rows[first : first + len(batch)].repeat(NUM_VIEWS[tta])
        with torch.enable_grad():
            found = _attributed(cam, views_of(batch, tta), targets, recipe)
        parts.append(_turned_back(found.detach(), shape, tta))
    return torch.cat(parts)


def _attributed(cam: LayerGradCam, views: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """The maps of views, (V B, 1, h, w), 0 or more.

    Raises:
        NoMap: the network of a plug-in does what gradients of a layer do not allow, such as changing it in place.
    """
    try:
        return cam.attribute(views, target=targets, relu_attributions=True)
    except RuntimeError as error:
        if recipe.model.is_resnet or is_out_of_memory(error) or is_device_fault(error):
            raise
        raise NoMap(
            f"Grad-CAM fails in the network {recipe.model.network}, so it cannot show where it looks "
            f"({first_line(error)})"
        ) from error


def _turned_back(maps: Tensor, shape: tuple[int, ...], tta: Tta) -> Tensor:
    """The mean over views of maps (V B, 1, h, w), view after view, at the size of the images: (B, H, W)."""
    large = functional.interpolate(maps.float(), size=shape, mode="bilinear", align_corners=False)
    views = large.chunk(NUM_VIEWS[tta])
    back = [transform.deaugment_mask(view) for transform, view in zip(transforms_of(tta), views, strict=True)]
    return torch.stack(back).mean(dim=0).squeeze(dim=1)
