"""The sections of a recipe, every field checked on construction."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, Literal

from leukemia.base.errors import UserError
from leukemia.config.optimizers import OPTIMIZERS, OptimizerName

DEFAULT_CROP_PX = 384
"""A centred square of 384 px holds 99 % of C-NMC's cells whole; 210 px cuts over half of them."""

DEFAULT_SIZE_PX = 224
"""Side of the network's input after the crop: the size that ImageNet weights were trained at."""

SMALLEST_SIZE_PX = 32
"""A ResNet halves its maps five times. Below 17 px a strided 3x3 convolution meets a map of one pixel, and there the
bfloat16 weight gradient of torch 2.13.0 on a CPU holds uninitialized memory: other numbers in every run, up to 1e36."""

Tta = Literal["none", "flips", "d4"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """What the network sees of an image."""

    crop_px: int | None = None
    """Side of the centred square that is cut out, in pixels. None: the smaller of 384 and the smallest image's side."""

    size_px: int | None = None
    """Side after resizing, at most ``crop_px``. None: the smaller of 224 and ``crop_px``."""

    grayscale: bool = False
    """One luminance channel instead of three colours."""

    def __post_init__(self) -> None:
        _within("data.crop_px", self.crop_px, SMALLEST_SIZE_PX, 8192)
        _within("data.size_px", self.size_px, SMALLEST_SIZE_PX, 8192)
        if self.crop_px is not None and self.size_px is not None and self.size_px > self.crop_px:
            raise UserError(
                f"data.size_px: expected at most data.crop_px ({self.crop_px}), got {self.size_px}; "
                "enlarging a crop adds no information: lower data.size_px or raise data.crop_px"
            )


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Probability of each random transformation of a training image, in 0..1."""

    horizontal_flip: float = 0.5
    """Mirror left and right."""

    vertical_flip: float = 0.5
    """Mirror top and bottom."""

    transpose: float = 0.5
    """Swap rows and columns."""

    rotate: float = 0.5
    """Rotate by an angle within +-180 degrees; corners are filled with black, as outside C-NMC's cells."""

    blur: float = 0.2
    """Gaussian blur with a kernel of 3 px."""

    noise: float = 0.2
    """Gaussian noise of variance 30 on the 0..255 scale."""

    cutout: float = 0.5
    """Black out one square hole of 12.5 % of the side (Cutout, DeVries & Taylor 2017)."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _within(f"augment.{item.name}", getattr(self, item.name), 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network: a ResNet (He et al., 2016) with one of three shortcuts."""

    depth: Literal[18, 34, 50, 101, 152] = 18
    """Number of layers."""

    shortcut: Literal["add", "concat", "weighted"] = "add"
    """How branch and shortcut are joined: the sum; concatenation and a 3x3 convolution; a learned weighted sum."""

    pretrained: str | None = None
    """Path of an ImageNet state dict (``.pt``, ``.pth`` or ``.safetensors``) to start from. None: from scratch."""

    pretrained_sha256: str | None = None
    """SHA-256 of that file, filled in when a study starts, so that no other weights take its place later."""

    def __post_init__(self) -> None:
        _one_of("model.depth", self.depth, (18, 34, 50, 101, 152))
        _one_of("model.shortcut", self.shortcut, ("add", "concat", "weighted"))
        if self.pretrained is None and self.pretrained_sha256 is not None:
            raise UserError("model.pretrained_sha256: given without model.pretrained; set the path too, or neither")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How weights are updated; the fields of each optimizer, their defaults and ranges are in ``OPTIMIZERS``."""

    name: OptimizerName = "ranger21"
    """``ranger21`` with its own warm-up and warm-down; ``adamw`` with warm restarts; ``ranger21_cosine``: Ranger21
    with its own schedule off, under the same warm restarts."""

    learning_rate: float = None  # type: ignore[assignment]  # filled in below, by optimizer
    """Peak learning rate."""

    weight_decay: float | None = None
    """Decoupled weight decay, ``adamw`` only."""

    restart_epochs: int | None = None
    """Length of the first cosine cycle in epochs, ``adamw`` and ``ranger21_cosine`` only. None there: all epochs."""

    restart_factor: int | None = None
    """Each cycle is this many times as long as the one before, 1 or 2; same optimizers."""

    def __post_init__(self) -> None:
        _one_of("optimizer.name", self.name, tuple(OPTIMIZERS))
        for field in dataclasses.fields(self)[1:]:
            key, value = f"optimizer.{field.name}", getattr(self, field.name)
            if self.has(field.name):
                setting = OPTIMIZERS[self.name].settings[field.name]
                value = setting.default if value is None else value
                _within(key, value, setting.low, setting.high)
                object.__setattr__(self, field.name, value)
            elif value is not None:
                raise UserError(f"{key} has no effect with {self.name}; leave it out")

    def has(self, field: str) -> bool:
        """Whether the field is a setting of this optimizer."""
        return field in OPTIMIZERS[self.name].settings


@dataclass(frozen=True, kw_only=True)
class Train:
    """How long and on what the optimizer works."""

    epochs: int = 30
    """Passes over the training images. The last one counts, never the best: choosing by validation would be a leak."""

    batch_size: int = 32
    """Images per step."""

    class_weight: Literal["none", "balanced"] = "none"
    """``balanced`` weighs the loss by n / (2 n_class), as scikit-learn does."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; ``auto`` takes bfloat16 where the device computes it natively."""

    seed: int = 0
    """Seed of weights, order of images and augmentation."""

    def __post_init__(self) -> None:
        _within("train.epochs", self.epochs, 1, 100_000)
        _within("train.batch_size", self.batch_size, 1, 65_536)
        _one_of("train.class_weight", self.class_weight, ("none", "balanced"))
        _one_of("train.precision", self.precision, ("auto", "float32", "bfloat16"))
        _within("train.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """How a trained model is asked for probabilities."""

    tta: Tta = "d4"
    """Test-time augmentation: ``none`` (1 view), ``flips`` (4), ``d4`` (the square's 8 symmetries)."""

    precise_bn: bool = True
    """Recompute BatchNorm statistics over training images before every evaluation (Wu & Johnson, arXiv:2105.07576)."""

    def __post_init__(self) -> None:
        _one_of("evaluate.tta", self.tta, typing.get_args(Tta))


def _one_of(key: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise UserError(f"{key}: expected one of {', '.join(map(str, choices))}, got {value!r}")


def _within(key: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise UserError(f"{key}: expected a value from {low:g} to {high:g}, got {value!r}")
