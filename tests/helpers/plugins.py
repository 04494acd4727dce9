"""Small plug-ins, and a process that forgets those that a test has loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leukemia.config import plugins as names
from leukemia.plugins import registry

NETWORK = """
from torch import nn
from leukemia.plugins import network

@network("tiny")
def tiny(recipe, in_channels, num_classes):
    return nn.Sequential(
        nn.Conv2d(in_channels, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8), nn.Linear(8, num_classes),
    )
"""

OPTIMIZER = """
import torch
from leukemia.plugins import optimizer

@optimizer("plain", learning_rate=0.05, weight_decay=0.001)
def plain(parameters, recipe, steps):
    settings = recipe.optimizer
    return torch.optim.SGD(parameters, lr=settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay)
"""

AUGMENTATION = """
import albumentations as A
from leukemia.plugins import augmentation

@augmentation("swap")
def swap(p):
    return A.ChannelShuffle(p=p)
"""

TEXTS = {"tiny.py": NETWORK, "plain.py": OPTIMIZER, "swap.py": AUGMENTATION}


@contextmanager
def unknown() -> Iterator[None]:
    """A process that has loaded nothing, like that of another command; it is as before after the block."""
    with pytest.MonkeyPatch.context() as patch:
        for module, attributes in ((names, ("_declared", "_recorded")), (registry, ("_files", "_registered"))):
            for attribute in attributes:
                patch.setattr(module, attribute, {})
        yield


def written(folder: Path, **texts: str) -> list[Path]:
    """Files with these texts, by their names without the ending; without any, all of ``TEXTS``."""
    found = []
    for name, text in (texts or {name.removesuffix(".py"): text for name, text in TEXTS.items()}).items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        found.append(path)
    return found
