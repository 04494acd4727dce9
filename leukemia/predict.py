"""A model and images in, probabilities out: with precise BatchNorm and test-time augmentation."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import ttach
from torch import Tensor, nn

from leukemia import ALL, __version__
from leukemia.augment import evaluation_pipeline
from leukemia.config import Recipe, Tta
from leukemia.device import DEVICES, choose_device, compute_dtype
from leukemia.images import ImageRows, Loader, View, crop_and_resize, evaluation_batches
from leukemia.mistakes import SUCCESS, MissingFile, Mistake, listed, run_command
from leukemia.model import ResNet, load_model
from leukemia.pixels import Unreadable, decode

EVALUATION_BATCH = 64
"""Images a forward pass; it bounds memory and changes no number by more than rounding."""


class _Probabilities(nn.Module):
    """Softmax behind the logits, since ttach averages whatever the model returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).float().softmax(dim=1)


def with_tta(model: nn.Module, tta: Tta) -> nn.Module:
    """A module from images (N, C, H, W) to class probabilities (N, 2), averaged over the views of ``tta``.

    The views are ttach's: ``flips`` (identity, horizontal, vertical, both) and ``d4`` (with transposed ones, 8).
    """
    probabilities = _Probabilities(model)
    if tta == "none":
        return probabilities
    views = ttach.aliases.flip_transform() if tta == "flips" else ttach.aliases.d4_transform()
    return ttach.ClassificationTTAWrapper(probabilities, views, merge_mode="mean")


def precise_batchnorm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace BatchNorm's running statistics by those of ``batches``, weighted by batch size.

    Running statistics are an exponential average over past weights and lag behind fast ones. The variance is the
    population's, E[var] + E[mean^2] - E[mean]^2 (Wu & Johnson, "Rethinking Batch in BatchNorm", arXiv:2105.07576,
    section 3). The model is left in eval mode.

    Args:
        model: changed in place.
        batches: images (N, C, H, W), on the model's device.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    total = 0
    means = [torch.zeros_like(_mean(norm)) for norm in norms]
    squares = [torch.zeros_like(mean) for mean in means]
    model.train()
    for norm in norms:
        # After a forward pass with momentum 1 the buffers hold that batch's own statistics.
        norm.momentum = 1.0
    with torch.no_grad():
        for images in batches:
            model(images)
            total += len(images)
            for norm, mean, square in zip(norms, means, squares, strict=True):
                mean += len(images) * _mean(norm)
                square += len(images) * (_variance(norm) + _mean(norm) ** 2)
    for norm, momentum, mean, square in zip(norms, momenta, means, squares, strict=True):
        norm.momentum = momentum
        _mean(norm).copy_(mean / total)
        _variance(norm).copy_((square / total - (mean / total) ** 2).clamp_min(0.0))
    model.eval()


def _mean(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_mean is not None
    return norm.running_mean


def _variance(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_var is not None
    return norm.running_var


def predict(
    model: ResNet,
    recipe: Recipe,
    images: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    *,
    device: torch.device,
    tta: Tta,
    num_workers: int = 0,
) -> np.ndarray:
    """Probability of class 1 (leukemic) for the given rows, float64 (len(rows),), in their order.

    Args:
        model: on ``device``; used in eval mode.
        images: uint8 (n, H, W, 3), the view that the recipe asks for.
    """
    dataset = ImageRows(images, np.zeros(len(images), dtype=np.int64), evaluation_pipeline(recipe))
    module = with_tta(model, tta).eval()
    loader = Loader(dataset, num_workers=num_workers, pin_memory=device.type == "cuda")
    dtype = compute_dtype(recipe, device)
    parts = []
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            for batch, _ in loader(evaluation_batches(rows, EVALUATION_BATCH)):
                parts.append(module(to_device(batch, device))[:, ALL].double().cpu().numpy())
    finally:
        loader.close()
    return np.concatenate(parts) if parts else np.zeros(0)


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch of images on the device, channels last: the layout in which convolutions are fastest."""
    return batch.to(device, memory_format=torch.channels_last, non_blocking=True)


def load_delivered(folder: Path) -> tuple[ResNet, Recipe]:
    """Model and recipe from a folder that ``leukemia.final`` wrote. No pickle is run.

    Raises:
        MissingFile: the folder holds no ``recipe.json`` or ``model.safetensors``.
    """
    recipe_path = folder / "recipe.json"
    if not recipe_path.is_file():
        raise MissingFile(f"--model {folder}: no recipe.json there; give the folder 'final' of a study")
    recipe = Recipe.from_json(recipe_path.read_text(encoding="utf-8"))
    return load_model(folder / "model.safetensors", recipe), recipe


def _read_images(paths: Sequence[Path], view: View) -> np.ndarray:
    images, problems = [], []
    for path in paths:
        try:
            images.append(crop_and_resize(decode(path), view))
        except FileNotFoundError:
            problems.append(f"{path}: no such file")
        except (Unreadable, Mistake) as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise Mistake(f"{len(problems)} of {len(paths)} images cannot be used:\n{listed(problems)}")
    return np.stack(images)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leukemia.predict",
        description="Print a CSV of probabilities for new images: path,probability_leukemic,predicted.",
        epilog="example: python -m leukemia.predict --model runs/STUDY/final cells/*.bmp > probabilities.csv",
    )
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a folder that leukemia.final wrote")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute (default: %(default)s)")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def main(argv: list[str] | None = None) -> int:
    """``python -m leukemia.predict``."""
    arguments = _parser().parse_args(argv)
    model, recipe = load_delivered(arguments.model)
    device = choose_device(arguments.device)
    assert recipe.data.crop_px is not None
    assert recipe.data.size_px is not None
    view = View(crop_px=recipe.data.crop_px, size_px=recipe.data.size_px)
    images = _read_images(arguments.images, view)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    probabilities = predict(model, recipe, images, range(len(images)), device=device, tta=recipe.evaluate.tta)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "probability_leukemic", "predicted"])
    for path, probability in zip(arguments.images, probabilities, strict=True):
        writer.writerow([path, f"{probability:.6f}", int(probability >= 0.5)])
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
