"""The models delivered to a study: their folders, and the record of what each was trained from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from leukemia.base import provenance
from leukemia.base.checksums import sha256_of
from leukemia.base.errors import UserError
from leukemia.base.listing import entries
from leukemia.base.record import RESTORE, read_record, write_record
from leukemia.config.delivered import weights_file
from leukemia.data.catalog import Catalog
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.data_source import Sha256
from leukemia.study.data_summary import DataSummary
from leukemia.study.decision import Decision
from leukemia.study.ensemble import EnsembleRecord
from leukemia.study.field_types import Positive, Share, TrialId
from leukemia.study.folder import Study

TRAINED = (layout.WEIGHTS, layout.RECIPE, layout.SEEN, layout.APPEARANCE)
"""Files that a model is used with."""

BOUND = (*TRAINED, layout.EPOCHS, layout.METRICS, layout.PREDICTIONS, layout.PATIENTS)
"""Files that commands read or send."""

RESULTS = (layout.METRICS, layout.PREDICTIONS, layout.PATIENTS)
"""Those of a test; each record lists the ones that there were."""

IRRELEVANT = ("ray", "optuna", "wandb")
"""Packages that neither train the final model nor apply it."""


def model_folder(study: Study, name: str) -> Path:
    """The folder for a model of this name.

    Raises:
        UserError: no portable name, or one that the study uses otherwise.
    """
    layout.check_name(name, "--out")
    # Some file systems ignore case. Names with a dot in front are those of temporary files.
    if name.startswith(".") or name.lower() in layout.RESERVED:
        raise UserError(f"--out: {name!r} is a name that the study uses itself; choose another")
    return study.folder / name


def is_model(folder: Path) -> bool:
    """Whether a model was delivered to a folder; earlier versions wrote no record."""
    return any((folder / name).is_file() for name in (layout.MODEL, layout.METRICS))


def trained_on(weights: Path) -> str | None:
    """Fingerprint of the data that a delivered model was trained on; None if ``weights`` are of another origin.

    Args:
        weights: as ``model.pretrained``.

    Raises:
        UserError: the model's record is invalid, or of other weights.
    """
    file = weights_file(weights)
    record = ModelRecord.read(file.parent) if file.name == layout.WEIGHTS else None
    if record is None:
        return None
    record.check_files(file.parent, [layout.RECIPE, layout.WEIGHTS])
    return record.fingerprint


def delivered_models(study: Study) -> list[str]:
    """Names of the folders of all delivered models, the default one last, so that it is the latest in W&B."""
    # A link leads to a folder of the user's.
    folders = [
        path
        for path in study.folder.iterdir()
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    ]
    return sorted((path.name for path in folders if is_model(path)), key=lambda name: (name == layout.FINAL, name))


def results_folders(folder: Path) -> list[Path]:
    """The folders of results on test sets in a model's folder, also those of earlier versions."""
    return [each for name in (layout.TESTS, layout.EARLIER_TESTS) for each in entries(folder / name) if each.is_dir()]


def unnamed_results(folder: Path, fingerprint: str) -> Path:
    """Where a model's folder keeps results on a test set of unknown name."""
    return folder / layout.TESTS / fingerprint[:16]


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """The test set that a model's scores are of."""

    fingerprint: Sha256
    """Of the test data."""

    command: str
    created: str
    """UTC, in ISO 8601."""

    notes: list[str] = field(default_factory=list)
    """As ``Catalog.notes``; empty in files of earlier versions."""

    data: DataSummary | None = None
    """None in files of earlier versions."""


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """``model.json``: what a delivered model was trained from, apart from its recipe."""

    study: str
    study_uid: str
    trial: TrialId
    num_training_images: Positive
    fingerprint: Sha256
    """Of the training data."""

    notes: list[str] = field(default_factory=list)
    """On the training data, as ``Catalog.notes``; empty in files of earlier versions."""

    share_leukemic: Share | None = None
    """Share of the training images that are leukemic; None in files of earlier versions."""

    training: DataSummary | None = None
    """The training data; None in files of earlier versions."""

    decision: Decision = field(default_factory=Decision)
    """Temperature and threshold."""

    ensemble: EnsembleRecord | None = None
    """None: a single network, as in files of earlier versions."""

    splits_sha256: Sha256
    device: str
    commit: str
    command: str
    created: str
    """UTC, in ISO 8601."""

    versions: dict[str, str]
    weights: str | None = None
    """What was taken from ``model.pretrained``, as text; None if training started from scratch."""

    evaluation: EvaluationRecord | None = None
    """None if no test set was given."""

    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the other files that commands read, by name."""

    @classmethod
    def of(cls, best: Best, training: Catalog, device: str, command: str, weights: str | None = None) -> ModelRecord:
        """The record of a model that is trained now."""
        return cls(
            study=best.study,
            study_uid=best.study_uid,
            trial=best.trial,
            num_training_images=len(training.table),
            fingerprint=best.data.fingerprint,
            notes=list(training.notes),
            share_leukemic=float(training.table["label"].mean()),
            training=DataSummary.of(training, [best.data.uri, *(best.data.also or ())]),
            splits_sha256=best.splits_sha256,
            device=device,
            commit=provenance.commit(),
            command=command,
            created=provenance.now(),
            versions=provenance.versions(),
            weights=weights,
        )

    @classmethod
    def read(cls, folder: Path) -> ModelRecord | None:
        """The record in a model's folder; None if an earlier version delivered it.

        Raises:
            UserError: the record is invalid.
        """
        path = folder / layout.MODEL
        return read_record(cls, path) if path.is_file() else None

    def evaluated(self, test: Catalog, name: str, command: str) -> ModelRecord:
        """This record with another test set.

        Args:
            name: of the test set.
        """
        evaluation = EvaluationRecord(
            fingerprint=test.fingerprint,
            command=command,
            created=provenance.now(),
            notes=list(test.notes),
            data=DataSummary.of(test, [name]),
        )
        return dataclasses.replace(self, evaluation=evaluation)

    def has_results(self, folder: Path, fingerprint: str) -> bool:
        """Whether the folder has results on the test set of this fingerprint, the newest or earlier ones."""
        return self.results(folder, fingerprint).is_dir()

    def results(self, folder: Path, fingerprint: str) -> Path:
        """Where the results on the test set of this fingerprint are: in the folder if it is the newest."""
        if self.is_of(fingerprint):
            return folder
        return kept_results(folder, fingerprint) or unnamed_results(folder, fingerprint)

    def is_of(self, fingerprint: str) -> bool:
        """Whether the results that the record was written with are on the test set of this fingerprint."""
        return self.evaluation is not None and self.evaluation.fingerprint == fingerprint

    def write(self, folder: Path) -> None:
        """Write the record; the other files must be there."""
        files = {name: sha256_of(folder / name) for name in BOUND if (folder / name).is_file()}
        dataclasses.replace(self, files=files).keep(folder)

    def keep(self, folder: Path) -> None:
        """Write the record as it is, with the checksums of the files that it was written for."""
        write_record(folder / layout.MODEL, dataclasses.asdict(self))

    def check_files(self, folder: Path, names: Iterable[str] = BOUND) -> None:
        """Check files of the folder against their checksums; those of earlier versions have fewer of them.

        Raises:
            UserError: one was changed, or is that of another model: results that the record does not list.
        """
        for name in names:
            if self.files and name in RESULTS and name not in self.files and (folder / name).is_file():
                raise UserError(
                    f"{folder / name}: {layout.MODEL} does not list it, so it belongs to another model; move it away"
                )
            if name in self.files and (not (folder / name).is_file() or sha256_of(folder / name) != self.files[name]):
                raise UserError(f"{folder / name}: not the file that {layout.MODEL} was written for; {RESTORE}")

    def check_study(self, folder: Path, study: Study) -> None:
        """Check that the model in ``folder`` is one of this study.

        Raises:
            UserError: it is of another one.
        """
        if self.study_uid != study.info.study_uid:
            raise UserError(
                f"{folder}: the model is of study {self.study} ({self.study_uid}), not of {study.name} "
                f"({study.info.study_uid}); move it away"
            )

    def differences(self, other: ModelRecord) -> list[str]:
        """Differences in study, data and versions to a record that is to be written, as ``NAME: OLD, not NEW``."""
        found, wanted = self._determining(), other._determining()
        return [
            f"{name}: {found.get(name, 'none')}, not {wanted.get(name, 'none')}"
            for name in dict.fromkeys([*found, *wanted])
            if found.get(name) != wanted.get(name)
        ]

    def provenance(self) -> list[tuple[str, str]]:
        """Data, software and commands behind model and scores, as (item, value)."""
        tests = []
        if self.evaluation is not None:
            tests.append(("test data fingerprint", self.evaluation.fingerprint))
            tests.extend(("note on the test data", note) for note in self.evaluation.notes)
            tests.append(("command of the test", self.evaluation.command))
        return [
            ("study, trial", f"{self.study} ({self.study_uid}), {self.trial}"),
            *([] if self.ensemble is None else [("kind of model", self.ensemble.describe())]),
            ("training images", f"{self.num_training_images}{self._describe_share()}"),
            ("decision", self.decision.describe()),
            ("training data fingerprint", self.fingerprint),
            *(("note on the training data", note) for note in self.notes),
            ("split SHA-256", self.splits_sha256),
            *([] if self.weights is None else [("pretrained weights", self.weights)]),
            ("device", self.device),
            ("commit", self.commit),
            ("command", self.command),
            *tests,
            *((f"version of {name}", version) for name, version in self.versions.items()),
        ]

    def _describe_share(self) -> str:
        return "" if self.share_leukemic is None else f", {100 * self.share_leukemic:.1f} % leukemic"

    def _determining(self) -> dict[str, str]:
        versions = {f"version of {name}": version for name, version in self.versions.items() if name not in IRRELEVANT}
        kind = {} if self.ensemble is None else {"kind of model": self.ensemble.describe()}
        return {"study_uid": self.study_uid, "training data fingerprint": self.fingerprint, **kind, **versions}


def kept_results(folder: Path, fingerprint: str) -> Path | None:
    """The folder of results on the test set of this fingerprint in a model's folder; None if there is none."""
    for each in results_folders(folder):
        # Earlier versions kept some without a record.
        record = ModelRecord.read(each)
        if each.name == fingerprint[:16] or (record is not None and record.is_of(fingerprint)):
            return each
    return None
