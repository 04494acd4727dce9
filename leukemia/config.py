"""A recipe: every setting of one training, checked on construction, to and from JSON; and the presets."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from leukemia.files import read_json
from leukemia.mistakes import MissingFile, Mistake

DEFAULT_CROP_PX = 384
"""A centred square of 384 px holds 99 % of C-NMC's cells whole; 210 px cuts over half of them."""

DEFAULT_SIZE_PX = 224
"""Side of the network's input after the crop: the size that ImageNet weights were trained at."""

SMALLEST_SIZE_PX = 32
"""A ResNet halves its maps five times. Below 17 px a strided 3x3 convolution meets a map of one pixel, and there the
bfloat16 weight gradient of torch 2.13.0 on a CPU holds uninitialized memory: other numbers in every run, up to 1e36."""

OptimizerName = Literal["ranger21", "adamw", "ranger21_cosine"]
Tta = Literal["none", "flips", "d4"]

LEARNING_RATES: dict[str, float] = {"ranger21": 1e-3, "adamw": 3e-4, "ranger21_cosine": 1e-3}
"""Peak rate of each optimizer where none is set. Places to start from, not results: the search covers 1e-4 to 1e-2."""

SCHEDULED: tuple[str, ...] = ("adamw", "ranger21_cosine")
"""Optimizers that run under cosine annealing with warm restarts; plain ``ranger21`` brings its own schedule."""


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
            raise Mistake(
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
            raise Mistake("model.pretrained_sha256: given without model.pretrained; set the path too, or neither")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How weights are updated. Fields that an optimizer does not have are None, and setting them is an error."""

    name: OptimizerName = "ranger21"
    """``ranger21`` with its own warm-up and warm-down; ``adamw`` with warm restarts; ``ranger21_cosine``: Ranger21
    with its own schedule off, under the same warm restarts."""

    learning_rate: float = None  # type: ignore[assignment]  # filled in below, by optimizer
    """Peak learning rate; by default the one of ``LEARNING_RATES``. Ranger21's warm-down would raise a rate below 3e-5
    to 3e-5, so less is refused for it."""

    weight_decay: float | None = None
    """Decoupled weight decay, ``adamw`` only (there 0.01 by default): ranger21 0.1.0 applies it to its last
    parameter alone, so there it is not a setting."""

    restart_epochs: int | None = None
    """Length of the first cosine cycle in epochs, ``adamw`` and ``ranger21_cosine`` only. None there: all epochs."""

    restart_factor: int | None = None
    """Each cycle is this many times as long as the one before, 1 or 2; same optimizers, there 1 by default."""

    def __post_init__(self) -> None:
        _one_of("optimizer.name", self.name, typing.get_args(OptimizerName))
        _fill(self, "learning_rate", LEARNING_RATES[self.name])
        _within("optimizer.learning_rate", self.learning_rate, 3e-5 if self.name == "ranger21" else 1e-8, 100.0)
        if self.name == "adamw":
            _fill(self, "weight_decay", 0.01)
            _within("optimizer.weight_decay", self.weight_decay, 0.0, 1.0)
        else:
            _without_effect(self, ("weight_decay",))
        if self.name in SCHEDULED:
            _fill(self, "restart_factor", 1)
            _within("optimizer.restart_epochs", self.restart_epochs, 1, 100_000)
            _within("optimizer.restart_factor", self.restart_factor, 1, 2)
        else:
            _without_effect(self, ("restart_epochs", "restart_factor"))


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


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of one training. Dotted keys such as ``optimizer.learning_rate`` name the fields everywhere."""

    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    model: Model = field(default_factory=Model)
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    evaluate: Evaluate = field(default_factory=Evaluate)

    def flat(self) -> dict[str, Any]:
        """Every field by dotted key, JSON types only.

        >>> Recipe().flat()["optimizer.learning_rate"]
        0.001
        """
        return {
            f"{section}.{key}": value
            for section, fields in dataclasses.asdict(self).items()
            for key, value in fields.items()
        }

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from dotted keys; absent ones take their defaults, unknown ones are refused.

        Raises:
            Mistake: an unknown key (the nearest names are given), or a value of the wrong type or range.
        """
        if not isinstance(values, Mapping):
            raise Mistake(f"recipe: expected fields and their values, got {values!r}")
        sections: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
        for key, value in values.items():
            check_key(key)
            section, name = key.split(".")
            sections[section][name] = _checked_type(key, value)
        return cls(**{section: _SECTIONS[section](**fields) for section, fields in sections.items()})

    def with_settings(self, settings: Mapping[str, Any]) -> Recipe:
        """This recipe with some fields set; the settings of an optimizer that is replaced are dropped with it."""
        for key in settings:
            check_key(key)
        values = self.flat()
        if settings.get("optimizer.name", self.optimizer.name) != self.optimizer.name:
            for name in ("learning_rate", "weight_decay", "restart_epochs", "restart_factor"):
                del values[f"optimizer.{name}"]
        elif self.optimizer.restart_epochs == self.train.epochs and "train.epochs" in settings:
            # One cycle over all epochs stays one cycle over all epochs.
            values["optimizer.restart_epochs"] = settings["train.epochs"]
        if settings.get("model.pretrained", self.model.pretrained) is None:
            values["model.pretrained_sha256"] = None
        return Recipe.from_flat({**values, **settings})

    def resolved(self, smallest_side_px: int) -> Recipe:
        """This recipe with the fields filled in that depend on the data or on files.

        Args:
            smallest_side_px: the shorter side of the smallest image.

        Raises:
            Mistake: images smaller than the crop, or weights that changed since their SHA-256 was taken.
            MissingFile: no file at ``model.pretrained``.
        """
        if smallest_side_px < SMALLEST_SIZE_PX:
            raise Mistake(
                f"the smallest image's side is {smallest_side_px} px; a ResNet needs at least {SMALLEST_SIZE_PX} px: "
                "take small images out of the data, or enlarge them all"
            )
        crop_px = self.data.crop_px or min(DEFAULT_CROP_PX, smallest_side_px)
        if crop_px > smallest_side_px:
            raise Mistake(
                f"data.crop_px: the crop is {crop_px} px, but the smallest image's side is {smallest_side_px} px; "
                f"set data.crop_px to at most {smallest_side_px}"
            )
        values: dict[str, Any] = {
            "data.crop_px": crop_px,
            "data.size_px": self.data.size_px or min(DEFAULT_SIZE_PX, crop_px),
        }
        if self.optimizer.name in SCHEDULED and self.optimizer.restart_epochs is None:
            values["optimizer.restart_epochs"] = self.train.epochs
        if self.model.pretrained is not None:
            values["model.pretrained_sha256"] = self._pretrained_sha256(Path(self.model.pretrained))
        return self.with_settings(values)

    def _pretrained_sha256(self, path: Path) -> str:
        if not path.is_file():
            raise MissingFile(f"model.pretrained: no file at {path}; give the path of a ResNet state dict")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if self.model.pretrained_sha256 not in (None, digest):
            raise Mistake(
                f"model.pretrained: {path} has SHA-256 {digest}, but this recipe was run with "
                f"{self.model.pretrained_sha256}; bring the original file back"
            )
        return digest

    def describe(self) -> str:
        """A recipe in a few words: what differs most between trials.

        >>> Recipe().describe()
        'ResNet-18 add, colour, ranger21 1.0e-03'
        """
        colour = "gray" if self.data.grayscale else "colour"
        optimizer = f"{self.optimizer.name} {self.optimizer.learning_rate:.1e}"
        return f"ResNet-{self.model.depth} {self.model.shortcut}, {colour}, {optimizer}"

    def to_json(self) -> str:
        """Dotted keys and values, sorted, as JSON text."""
        return json.dumps(self.flat(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The inverse of ``to_json``.

        >>> Recipe.from_json(Recipe().to_json()) == Recipe()
        True

        Raises:
            Mistake: no JSON, or what ``from_flat`` refuses.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Mistake(f"recipe: expected JSON, got something else ({error}); restore it from a copy") from None
        return cls.from_flat(values)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """A recipe from its file.

        Raises:
            Mistake: no JSON, or what ``from_flat`` refuses; the file is named.
        """
        try:
            return cls.from_flat(read_json(path))
        except Mistake as mistake:
            raise Mistake(str(mistake) if str(path) in str(mistake) else f"{path}: {mistake}") from None


_SECTIONS: dict[str, type[Any]] = {
    "data": Data,
    "augment": Augment,
    "model": Model,
    "optimizer": Optimizer,
    "train": Train,
    "evaluate": Evaluate,
}
_TYPES: dict[str, Any] = {
    f"{section}.{name}": hint for section, cls in _SECTIONS.items() for name, hint in typing.get_type_hints(cls).items()
}
FIELDS: tuple[str, ...] = tuple(_TYPES)
"""Every dotted key of a recipe."""

Value = TypeVar("Value")


def check_key(key: str) -> None:
    """Refuse a key that is no recipe field, naming the nearest ones."""
    if key in _TYPES:
        return
    # People also type a bare field name, or one in the wrong section.
    same_name = [known for known in FIELDS if known.split(".")[1] == key.split(".")[-1]]
    near = same_name or difflib.get_close_matches(key, FIELDS, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"the fields are {', '.join(FIELDS)}"
    raise Mistake(f"unknown recipe field {key!r}; {hint}")


def parse_setting(text: str) -> tuple[str, Any]:
    """``FIELD=VALUE`` as typed on a command line, as (dotted key, typed value).

    >>> parse_setting("train.epochs=3")
    ('train.epochs', 3)

    Raises:
        Mistake: no ``=``, an unknown field, or a value of the wrong type.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise Mistake(f"--set: expected FIELD=VALUE, got {text!r}; for example --set train.epochs=3")
    key = key.strip()
    check_key(key)
    if key == "model.pretrained_sha256":
        raise Mistake("--set: model.pretrained_sha256 is taken from the file; set model.pretrained")
    return key, _parsed(key, value.strip())


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """All ``--set`` arguments of a command as one mapping; a field set twice is refused."""
    settings: dict[str, Any] = {}
    for text in texts:
        key, value = parse_setting(text)
        if key in settings:
            raise Mistake(f"--set: {key} is set twice; give it once")
        settings[key] = value
    return settings


def _kinds(key: str) -> tuple[Any, ...]:
    hint = _TYPES[key]
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _parsed(key: str, text: str) -> Any:
    kinds = _kinds(key)
    if type(None) in kinds and text.lower() in ("", "null"):
        return None
    kind = kinds[0]
    if typing.get_origin(kind) is Literal:
        matches = [choice for choice in typing.get_args(kind) if str(choice) == text]
        return matches[0] if matches else _refuse(key, typing.get_args(kind), text)
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return words[text.lower()] if text.lower() in words else _refuse(key, ("true", "false"), text)
    try:
        return kind(text)
    except ValueError:
        raise Mistake(f"{key}: expected {_KIND_NAMES[kind]}, got {text!r}") from None


_KIND_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _checked_type(key: str, value: Any) -> Any:
    kinds = _kinds(key)
    if value is None and type(None) in kinds:
        return None
    kind = kinds[0]
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        # 18.0 equals 18, and 1 equals True: the type counts, too.
        if value in choices and type(value) is type(choices[0]):
            return value
        return _refuse(key, choices, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise Mistake(f"{key}: expected {_KIND_NAMES[kind]}, got {value!r}")
    return value


def _refuse(key: str, choices: tuple[Any, ...], value: Any) -> typing.NoReturn:
    raise Mistake(f"{key}: expected one of {', '.join(map(str, choices))}, got {value!r}")


def _one_of(key: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        _refuse(key, choices, value)


def _within(key: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise Mistake(f"{key}: expected a value from {low:g} to {high:g}, got {value!r}")


def _fill(section: Any, name: str, default: Any) -> None:
    if getattr(section, name) is None:
        object.__setattr__(section, name, default)


def _without_effect(optimizer: Optimizer, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(optimizer, name) is not None:
            raise Mistake(f"optimizer.{name} has no effect with {optimizer.name}; leave it out")


def seed() -> Recipe:
    """The recipe that this project grew from: ResNet-18 from scratch, Ranger21, the default augmentation."""
    return Recipe()


def strong() -> Recipe:
    """What a practitioner would start from: AdamW with one cosine cycle, balanced classes; add ImageNet weights
    with ``--set model.pretrained=PATH``."""
    return Recipe(
        optimizer=Optimizer(name="adamw", weight_decay=0.05),
        train=Train(class_weight="balanced"),
    )


def debug() -> Recipe:
    """A few minutes on a laptop: small images, few epochs. For trying the machinery, not for results."""
    return Recipe(
        data=Data(size_px=48),
        train=Train(epochs=8),
        evaluate=Evaluate(tta="flips"),
    )


PRESETS: dict[str, typing.Callable[[], Recipe]] = {"seed": seed, "strong": strong, "debug": debug}
"""Preset recipes by name."""
