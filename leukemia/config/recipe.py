"""A recipe: all settings of one training run, validated on construction, with JSON serialization."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError
from leukemia.base.files import parse_json
from leukemia.base.record import read_content, write_record
from leukemia.config.delivered import weights_file
from leukemia.config.earlier import for_names, in_present_terms
from leukemia.config.fields import BUILT_IN_NETWORKS, SECTIONS, check_key, checked_type
from leukemia.config.fitting import Size, fitted
from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.plugins import RESNET, SECTION, Kind, checked_record, declaration, record, used_names
from leukemia.config.sections import Augment, Data, Evaluate, Model, Optimizer, Train, check_probability

_FIRST = ("model.", "data.", "optimizer.")
"""Beginnings of the fields that descriptions name first."""

BUILT_IN: dict[Kind, tuple[str, ...]] = {
    "network": BUILT_IN_NETWORKS,
    "optimizer": tuple(OPTIMIZERS),
    "augmentation": tuple(each.name for each in dataclasses.fields(Augment)),
}
"""Names that no plug-in may register."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of one training run. Fields are named by dotted keys such as ``optimizer.learning_rate``."""

    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    model: Model = field(default_factory=Model)
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    evaluate: Evaluate = field(default_factory=Evaluate)
    augmentations: tuple[tuple[str, float], ...] = ()
    """Augmentations of plug-ins by name, ascending, with their probabilities: the further fields of ``augment``."""

    plugins: tuple[tuple[str, str], ...] = ()
    """The plug-ins that the recipe uses, by name, ascending, with the SHA-256 of their files. Those of loaded files are
    filled in."""

    def __post_init__(self) -> None:
        for name, probability in self.augmentations:
            check_probability(f"augment.{name}", probability)
        object.__setattr__(self, "augmentations", tuple(sorted(self.augmentations)))
        recorded, used = dict(self.plugins), used_names(self._open_fields(), BUILT_IN)
        known = {name: recorded.get(name) or _declared_sha256(kind, name) for name, kind in used.items()}
        object.__setattr__(self, "plugins", tuple(sorted(known.items())))

    def flat(self) -> dict[str, Any]:
        """All fields by dotted key; values have JSON types.

        >>> Recipe().flat()["optimizer.learning_rate"]
        0.001
        """
        fields = {
            f"{section}.{key}": value
            for section in SECTIONS
            for key, value in dataclasses.asdict(getattr(self, section)).items()
        }
        further = {f"augment.{name}": probability for name, probability in self.augmentations}
        return {**fields, **further, **{f"{SECTION}.{name}": sha256 for name, sha256 in self.plugins}}

    def _open_fields(self) -> dict[str, Any]:
        """The fields in which plug-ins are named, by dotted key."""
        named = {"model.network": self.model.network, "optimizer.name": self.optimizer.name}
        return {**named, **{f"augment.{name}": probability for name, probability in self.augmentations}}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from dotted keys, of any version; absent fields take their defaults, or what they meant earlier.

        With what is recorded of its plug-ins, as ``flat`` has it, a recipe is read without their files.

        Raises:
            UserError: an unknown key (similar names are suggested), or a value of the wrong type or out of range.
        """
        if not isinstance(values, Mapping):
            raise UserError(f"recipe: expected fields and their values, got {values!r}")
        values, recorded = _without_records(values)
        sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        augmentations, is_resnet = {}, values.get("model.network", RESNET) == RESNET
        for key, value in in_present_terms(values).items():
            check_key(key)
            section, name = key.split(".")
            if section == "augment" and name not in BUILT_IN["augmentation"]:
                augmentations[name] = checked_type(key, value)
            elif value is not None or is_resnet or key not in _OF_RESNET:
                sections[section][name] = checked_type(key, value)
        return cls(
            **{section: SECTIONS[section](**fields) for section, fields in sections.items()},
            augmentations=tuple(augmentations.items()),
            plugins=tuple(recorded.items()),
        )

    def with_settings(self, settings: Mapping[str, Any]) -> Recipe:
        """This recipe with some fields set; changing the optimizer or the network resets its other settings to their
        defaults, and changing ``data.fit`` resets the crop."""
        for key in settings:
            check_key(key)
        values = self.flat()
        if settings.get("optimizer.name", self.optimizer.name) != self.optimizer.name:
            values = {key: value for key, value in values.items() if not key.startswith("optimizer.")}
        elif self.optimizer.restart_epochs == self.train.epochs and "train.epochs" in settings:
            # A single cycle over all epochs keeps covering all epochs.
            values["optimizer.restart_epochs"] = settings["train.epochs"]
        if settings.get("model.network", self.model.network) != self.model.network:
            values = {key: value for key, value in values.items() if not key.startswith("model.")}
        if settings.get("model.pretrained", self.model.pretrained) is None:
            values["model.pretrained_sha256"] = None
        if settings.get("data.fit", self.data.fit) != self.data.fit:
            values["data.crop_px"] = None
        return Recipe.from_flat({**values, **settings})

    def resolved(self, sizes: Collection[Size]) -> Recipe:
        """This recipe with all fields filled in that depend on the data or on files.

        Args:
            sizes: width and height of all images, in pixels; at least one.

        Raises:
            UserError: as ``fitted``, or pretrained weights whose SHA-256 has changed.
            MissingFile: no file at ``model.pretrained``.
        """
        data = dataclasses.asdict(fitted(self.data, sizes))
        values: dict[str, Any] = {f"data.{name}": value for name, value in data.items()}
        if self.optimizer.has("restart_epochs") and self.optimizer.restart_epochs is None:
            values["optimizer.restart_epochs"] = self.train.epochs
        if self.model.pretrained is not None:
            values["model.pretrained_sha256"] = self._pretrained_sha256(Path(self.model.pretrained))
        return self.with_settings(values)

    def check_pretrained(self) -> None:
        """Check that this machine has the pretrained weights, if any, that the recipe was resolved with.

        Raises:
            UserError: other weights.
            MissingFile: no file at ``model.pretrained``.
        """
        if self.model.pretrained is not None:
            self._pretrained_sha256(Path(self.model.pretrained))

    def _pretrained_sha256(self, path: Path) -> str:
        with weights_file(path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if self.model.pretrained_sha256 not in (None, digest):
            raise UserError(
                f"model.pretrained: {path} has SHA-256 {digest}, but this recipe was run with "
                f"{self.model.pretrained_sha256}; restore the original file"
            )
        return digest

    def describe(self) -> str:
        """A one-line summary with the fields that differ most between trials.

        >>> Recipe().describe()
        'ResNet-18 add, color, ranger21 1.0e-03'
        """
        color = "gray" if self.data.grayscale else "color"
        optimizer = f"{self.optimizer.name} {self.optimizer.learning_rate:.1e}"
        network = f"ResNet-{self.model.depth} {self.model.shortcut}" if self.model.is_resnet else self.model.network
        return f"{network}, {color}, {optimizer}"

    def describe_fields(self, keys: Collection[str]) -> str:
        """A one-line summary of some fields, those first that differ most between trials.

        Args:
            keys: dotted; empty: as ``describe``. A field that the optimizer lacks is left out.

        >>> Recipe().describe_fields(["augment.blur", "optimizer.learning_rate", "model.depth", "data.grayscale"])
        'ResNet-18, color, 1.0e-03, blur 0.2'
        """
        if not keys:
            return self.describe()
        flat, model, optimizer = self.flat(), self.model, self.optimizer
        resnet = f"ResNet-{model.depth}" if model.is_resnet else ""
        texts = {
            "model.network": model.network if not resnet else "" if "model.depth" in keys else resnet,
            "model.depth": resnet,
            "model.shortcut": model.shortcut if model.is_resnet else "",
            "data.grayscale": "gray" if self.data.grayscale else "color",
            "optimizer.name": optimizer.name,
            "optimizer.learning_rate": f"{optimizer.learning_rate:.1e}",
        }
        first = {key: text for key, text in texts.items() if key in keys and text}
        parts = [" ".join(text for key, text in first.items() if key.startswith(part)) for part in _FIRST]
        values = {key.split(".")[1]: flat[key] for key in keys if key not in texts and flat.get(key) is not None}
        parts += [
            f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
        ]
        return ", ".join(filter(None, parts))

    def to_json(self) -> str:
        """JSON text of all fields by dotted key, sorted."""
        return _json(self.flat())

    def identity(self) -> str:
        """Text whose hash is part of names of files: ``to_json`` of the first version that could write the recipe, so
        that the files are found after an upgrade."""
        return _json(for_names(self.flat()))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The inverse of ``to_json``.

        >>> Recipe.from_json(Recipe().to_json()) == Recipe()
        True

        Raises:
            UserError: not JSON, or as ``from_flat``.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise UserError(f"recipe: expected JSON ({error}); restore it from a backup") from None
        return cls.from_flat(values)

    def save(self, path: Path, place: str = "") -> None:
        """Write the recipe to a file, with a checksum; ``place`` as for ``write_record``."""
        write_record(path, dict(sorted(self.flat().items())), place)

    @classmethod
    def load(cls, path: Path, place: str = "") -> Recipe:
        """Read a recipe from a file; ``place`` as when it was written.

        Raises:
            UserError: not JSON, changed after it was written, or as ``from_flat``; the message names the file.
        """
        try:
            return cls.from_flat(read_content(path, place))
        except UserError as error:
            raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


_OF_RESNET = ("model.depth", "model.shortcut")
"""Fields that are null with another network."""


def _without_records(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a flat recipe, and what is recorded of its plug-ins, whose names can be read from now on."""
    prefix = f"{SECTION}."
    fields = {key: value for key, value in values.items() if not str(key).startswith(prefix)}
    recorded = {
        (name := key.removeprefix(prefix)): checked_record(name, value)
        for key, value in values.items()
        if key not in fields
    }
    for name, kind in used_names(fields, BUILT_IN).items():
        if name in recorded:
            record(kind, name)
    return fields, recorded


def _declared_sha256(kind: Kind, name: str) -> str:
    declared = declaration(kind, name)
    if declared is None:
        raise UserError(f"{name}: the recipe uses this {kind} of a plug-in; name its file with --plugin FILE.py")
    return declared.sha256


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, sort_keys=True) + "\n"
