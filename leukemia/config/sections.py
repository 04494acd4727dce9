"""The sections of a recipe; every field is validated on construction."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, Literal

from leukemia.base.errors import UserError
from leukemia.config.optimizers import OptimizerName, all_optimizers, spec_of
from leukemia.config.plugins import RESNET, names_of

DEFAULT_CROP_PX = 384
"""A centred square of 384 px contains 99 % of C-NMC's cells completely; 210 px cuts off parts of over half of them."""

DEFAULT_SIZE_PX = 224
"""Side of the network's input: the size that ImageNet weights were trained with."""

SMALLEST_SIZE_PX = 32
"""A ResNet halves its feature maps five times. Below 17 px a strided 3x3 convolution is applied to a 1x1 map, for which
the bfloat16 weight gradient of torch 2.13.0 on a CPU contains uninitialized memory: random values of up to 1e36."""

MAX_SEED = 2**31 - 1

TRANSFORMATIONS = ("horizontal_flip", "vertical_flip", "transpose", "rotate", "blur", "noise", "cutout")
"""The fields of ``augment`` that are probabilities, in the order in which the transformations are applied; those of
``COLOR`` are after ``rotate``."""

COLOR = ("brightness", "contrast", "saturation")
"""The fields of ``augment`` that are the strengths of changes of color, in the order in which these are applied."""

BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("data.crop_px", "data.size_px"), (SMALLEST_SIZE_PX, 8192)),
    **{f"augment.{name}": (0.0, 1.0) for name in (*TRANSFORMATIONS, *COLOR)},
    "augment.rotate_limit": (0.0, 180.0),
    "train.epochs": (1, 100_000),
    "train.batch_size": (1, 65_536),
    "train.label_smoothing": (0.0, 1.0),
    "train.seed": (0, MAX_SEED),
}
"""Lowest and highest value of numbers by dotted key, both inclusive; ``spec_of`` has those of optimizers."""

Tta = Literal["none", "flips", "d4"]
Fit = Literal["crop", "resize", "auto"]
Small = Literal["pad", "refuse"]
Border = Literal["constant", "reflect"]
Pipeline = Literal["batch", "reference"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """How an image is cropped, resized and converted for the network."""

    crop_px: int | None = None
    """Side of the centred square crop, in pixels. None: the smaller of 384 and the median image's shorter side; or
    there is no crop."""

    size_px: int | None = None
    """Side of the network's input, at most ``crop_px``. None: the smaller of 224 and ``crop_px``; without a crop, of
    224 and the median image's longer side."""

    grayscale: bool = False
    """One luminance channel instead of RGB."""

    fit: Fit = "auto"
    """``crop``: a crop is resized to the input. ``resize``: the whole image is scaled down until its longer side is
    ``size_px``, and the rest of the square is black. ``auto``, which a resolved recipe does not have: ``resize`` if the
    default crop would lose more than half of the median image's area, else ``crop``."""

    small: Small = "pad"
    """What becomes of images smaller than the crop, or than the input without a crop: ``pad`` them with black, or
    ``refuse`` them. Images are not enlarged."""

    def __post_init__(self) -> None:
        _one_of("data.fit", self.fit, typing.get_args(Fit))
        _one_of("data.small", self.small, typing.get_args(Small))
        _within("data.crop_px", self.crop_px)
        _within("data.size_px", self.size_px)
        if self.crop_px is not None and self.size_px is not None and self.size_px > self.crop_px:
            raise UserError(
                f"data.size_px: expected at most data.crop_px ({self.crop_px}), got {self.size_px}; "
                "enlarging a crop adds no information: lower data.size_px or raise data.crop_px"
            )
        if self.fit == "resize" and self.crop_px is not None:
            raise UserError("data.crop_px has no effect with data.fit=resize; leave it out, or set data.fit=crop")

    @property
    def is_resolved(self) -> bool:
        """Whether nothing is left to be decided from the images."""
        return self.fit != "auto" and self.size_px is not None and (self.fit == "resize" or self.crop_px is not None)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random transformations of a training image: the probability of each, in 0..1, then how far some of them go.

    Brightness, contrast and saturation are those of torchvision's and albumentations' ``ColorJitter``, in this order:
    every image gets factors of its own, each uniform in 1 - v..1 + v for the field's value v. With 0 nothing changes.
    """

    horizontal_flip: float = 0.5
    """Flip left to right."""

    vertical_flip: float = 0.5
    """Flip top to bottom."""

    transpose: float = 0.5
    """Swap rows and columns."""

    rotate: float = 0.5
    """Rotate by an angle within +-``rotate_limit``."""

    blur: float = 0.2
    """Gaussian blur with a kernel of 3 px."""

    noise: float = 0.2
    """Gaussian noise of variance 30 on the 0..255 scale."""

    cutout: float = 0.5
    """Black out one square hole of 12.5 % of the side (Cutout, DeVries & Taylor 2017)."""

    rotate_limit: float = 180.0
    """Largest angle of a rotation in degrees, uniform in -limit..limit."""

    border: Border = "constant"
    """What a rotation fills the corners with. ``constant``: black, the background of C-NMC's images. ``reflect``: the
    image, reflected at its edges (OpenCV's ``BORDER_REFLECT``)."""

    brightness: float = 0.0
    """Strength v of random brightness: levels times 1 - v..1 + v, since exposure differs between cameras."""

    contrast: float = 0.0
    """Strength v of random contrast: distances from the image's mean luminance times 1 - v..1 + v."""

    saturation: float = 0.0
    """Strength v of random saturation: distances from each pixel's own luminance times 1 - v..1 + v, since stains
    differ between hospitals. 0 times is gray. Hardly any effect with ``data.grayscale``."""

    def __post_init__(self) -> None:
        _one_of("augment.border", self.border, typing.get_args(Border))
        for item in dataclasses.fields(self):
            if item.name != "border":
                _within(f"augment.{item.name}", getattr(self, item.name))


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network: a ResNet (He et al., 2016) with one of three shortcuts, or that of a plug-in."""

    network: str = RESNET
    """``resnet``, or a network of a plug-in (docs/plugins.md), which has none of the following fields."""

    depth: Literal[18, 34, 50, 101, 152] = None  # type: ignore[assignment]  # default depends on the network
    """Number of layers."""

    shortcut: Literal["add", "concat", "weighted"] = None  # type: ignore[assignment]  # default depends on the network
    """How branch and shortcut are combined: sum; concatenation and a 3x3 convolution; or learned weighted sum."""

    pretrained: str | None = None
    """Path of ResNet weights to start from: a file of torchvision, timm, Lightning or safetensors, or the folder of a
    delivered model. None: from scratch."""

    pretrained_sha256: str | None = None
    """SHA-256 of that file of weights, filled in when a study starts, so that later runs use the same weights."""

    @property
    def is_resnet(self) -> bool:
        """Whether it is the built-in network."""
        return self.network == RESNET

    def __post_init__(self) -> None:
        _one_of("model.network", self.network, (RESNET, *names_of("network")))
        if not self.is_resnet:
            for item in dataclasses.fields(self)[1:]:
                if getattr(self, item.name) is not None:
                    raise UserError(f"model.{item.name} has no effect with the network {self.network}; leave it out")
            return
        object.__setattr__(self, "depth", 18 if self.depth is None else self.depth)
        object.__setattr__(self, "shortcut", "add" if self.shortcut is None else self.shortcut)
        _one_of("model.depth", self.depth, (18, 34, 50, 101, 152))
        _one_of("model.shortcut", self.shortcut, ("add", "concat", "weighted"))
        if self.pretrained is None and self.pretrained_sha256 is not None:
            raise UserError("model.pretrained_sha256: given without model.pretrained; set the path too, or neither")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How weights are updated. ``spec_of`` has the fields of each optimizer with defaults and ranges."""

    name: OptimizerName = "ranger21"
    """``ranger21`` with its own warm-up and warm-down; ``adamw`` with warm restarts; ``ranger21_cosine``: Ranger21
    with those disabled, and the same warm restarts. ``ranger21_package`` and ``ranger21_package_cosine``: the package
    itself, slower, to compare; recipes of earlier versions, which lack ``train.pipeline``, trained with it. Or an
    optimizer of a plug-in (docs/plugins.md), with the settings of ``adamw``."""

    learning_rate: float = None  # type: ignore[assignment]  # default depends on the optimizer
    """Peak learning rate."""

    weight_decay: float | None = None
    """Decoupled weight decay, ``adamw`` only."""

    restart_epochs: int | None = None
    """Length of the first cosine cycle in epochs, ``adamw`` and the two with ``cosine`` only. None: all epochs."""

    restart_factor: int | None = None
    """Ratio of each cycle's length to the previous one, 1 or 2; same optimizers."""

    warmup_epochs: int | None = None
    """Epochs in which the learning rate rises linearly to its peak before it is annealed, ``adamw`` only (Goyal et al.,
    arXiv:1706.02677). They are part of the first cycle, whose annealing takes the rest of it, so restarts stay where
    they are. 0: no warm-up."""

    def __post_init__(self) -> None:
        _one_of("optimizer.name", self.name, all_optimizers())
        for field in dataclasses.fields(self)[1:]:
            key, value = f"optimizer.{field.name}", getattr(self, field.name)
            if self.has(field.name):
                setting = spec_of(self.name).settings[field.name]
                value = setting.default if value is None else value
                _within(key, value, (setting.low, setting.high))
                object.__setattr__(self, field.name, value)
            elif value is not None:
                raise UserError(f"{key} has no effect with {self.name}; leave it out")

    def has(self, field: str) -> bool:
        """Whether this optimizer has the setting ``field``."""
        return field in spec_of(self.name).settings


@dataclass(frozen=True, kw_only=True)
class Train:
    """Length of training, batches, loss weights, precision, augmentation pipeline and seed."""

    epochs: int = 30
    """Passes over the training images. The last epoch is evaluated, not the best: choosing by validation would leak."""

    batch_size: int = 32
    """Images per step."""

    class_weight: Literal["none", "balanced"] = "none"
    """``balanced`` weighs the loss by n / (2 n_class), as scikit-learn does."""

    label_smoothing: float = 0.0
    """Share s of each label that is spread evenly over both classes: targets are 1 - s/2 and s/2 (Szegedy et al.,
    arXiv:1512.00567). The training loss is the smoothed one; the validation loss is not smoothed."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; ``auto`` takes bfloat16 where the device computes it natively."""

    pipeline: Pipeline = "batch"
    """How ``augment`` is computed. ``batch``: for whole batches, by torch on CUDA and by OpenCV otherwise.
    ``reference``: by albumentations, image by image; recipes of earlier versions, which lack the field, trained so."""

    seed: int = 0
    """Seed of weights, image order and augmentation."""

    def __post_init__(self) -> None:
        _within("train.epochs", self.epochs)
        _within("train.batch_size", self.batch_size)
        _one_of("train.class_weight", self.class_weight, ("none", "balanced"))
        _within("train.label_smoothing", self.label_smoothing)
        _one_of("train.precision", self.precision, ("auto", "float32", "bfloat16"))
        _one_of("train.pipeline", self.pipeline, typing.get_args(Pipeline))
        _within("train.seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """How a trained model is evaluated."""

    tta: Tta = "d4"
    """Test-time augmentation: ``none`` (1 view), ``flips`` (4), ``d4`` (the 8 symmetries of a square)."""

    precise_bn: bool = True
    """Recompute BatchNorm statistics on training images before every evaluation (Wu & Johnson, arXiv:2105.07576)."""

    def __post_init__(self) -> None:
        _one_of("evaluate.tta", self.tta, typing.get_args(Tta))


def check_probability(key: str, value: float) -> None:
    """Check the probability of an augmentation of a plug-in, whose field ``key`` no section has.

    Raises:
        UserError: it is not in 0..1.
    """
    _within(key, value, (0.0, 1.0))


def _one_of(key: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise UserError(f"{key}: expected one of {', '.join(map(str, choices))}, got {value!r}")


def _within(key: str, value: float | None, bounds: tuple[float, float] | None = None) -> None:
    low, high = bounds or BOUNDS[key]
    if value is not None and not low <= value <= high:
        raise UserError(f"{key}: expected a value from {low:g} to {high:g}, got {value!r}")
