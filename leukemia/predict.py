"""``python -m leukemia.predict --model DIR IMAGES...``: classify images with a delivered model."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import torch

from leukemia import __version__
from leukemia.base.errors import SUCCESS, run_command
from leukemia.data.images import View
from leukemia.training.device import DEVICES, choose_device
from leukemia.training.inference import load_delivered, predict, read_images


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
    images = read_images(arguments.images, view)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    probabilities = predict(model, recipe, images, range(len(images)), device=device, tta=recipe.evaluate.tta)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "probability_leukemic", "predicted"])
    for path, probability in zip(arguments.images, probabilities, strict=True):
        writer.writerow([path, f"{probability:.6f}", int(probability >= 0.5)])
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
