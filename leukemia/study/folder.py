"""The study folder: reads and writes the files of a study, atomically and by one driver at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from leukemia.base import locks
from leukemia.base.errors import MissingFile
from leukemia.base.files import refuse_links, require_writable, write_text
from leukemia.base.listing import entries, exists
from leukemia.base.record import missing_field, read_content, read_record, write_record, wrong_value
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult, score_name
from leukemia.study import layout
from leukemia.study.clock import Clock
from leukemia.study.epochs import EPOCH_COLUMNS, REPEATED_COLUMNS, read_epochs, write_epochs
from leukemia.study.records import FOLD_COLUMNS, check_scores, predictions_csv, read_predictions, write_traceback
from leukemia.study.schema import FoldRecord, Origin, RepeatFailure, State, StudyInfo, TrialEnd
from leukemia.study.studies import study_folders

T = TypeVar("T")


class Study:
    """A study folder. Reading needs no lock; the driver holds ``lock()`` while it writes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        self._epochs: dict[int, dict[tuple[int, int, int], dict[str, Any]]] = {}

    @classmethod
    def create(cls, folder: Path, info: StudyInfo) -> Study:
        """Create a study; ``info`` becomes ``study.json``."""
        assert not (folder / layout.STUDY).exists(), folder
        (folder / layout.TRIALS).mkdir(parents=True, exist_ok=True)
        write_record(folder / layout.STUDY, info.to_dict())
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> Study:
        """Open an existing study.

        Raises:
            MissingFile: there is no study in the folder.
            UserError: ``study.json`` is invalid or has another schema.
        """
        if not (folder / layout.STUDY).is_file():
            raise MissingFile(
                f"no study at {folder}; --runs and the study's name must point to a folder with {layout.STUDY}"
            )
        study = cls(folder)
        # Reading validates it.
        assert study.info
        return study

    @classmethod
    def find(cls, runs: Path, name: str | None) -> Study:
        """The named study, or the newest study (by ``created``) that has a winner."""
        if name is not None:
            layout.check_name(name)
            return cls.open(runs / name)
        studies = [cls.open(folder) for folder in study_folders(runs) if exists(folder / layout.BEST)]
        if not studies:
            raise MissingFile(
                f"no study with a {layout.BEST} in {runs}; run a search first, or name the folder with --runs"
            )
        return max(studies, key=lambda study: (study.info.created, study.name))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @functools.cached_property
    def info(self) -> StudyInfo:
        """The content of ``study.json``, read once; only ``updated`` rewrites the file."""
        return StudyInfo.read(self.folder / layout.STUDY)

    def updated(self, info: StudyInfo) -> Study:
        """Rewrite ``study.json`` and return the study; fields unknown to this version are kept."""
        if info == self.info:
            return self
        path, content, known = self.folder / layout.STUDY, info.to_dict(), self.info.to_dict()
        kept = {name: value for name, value in read_content(path).items() if name in content or name not in known}
        write_record(path, {**kept, **content})
        return Study(self.folder)

    @functools.cached_property
    def objective(self) -> str:
        """Name of the fold score that the search maximizes, such as ``tta_accuracy``."""
        return score_name(self.info.objective)

    def place_of(self, path: Path) -> str:
        """What a file of this study is bound to: the study, and its path there; a study can be moved and renamed."""
        return f"{self.info.study_uid}/{path.relative_to(self.folder).as_posix()}"

    def write(self, path: Path, record: Mapping[str, Any]) -> None:
        """Write a JSON record of this study, bound to its place."""
        write_record(path, record, self.place_of(path))

    def read(self, kind: type[T], path: Path) -> T:
        """Read a JSON record of this study, as ``read_record``."""
        return read_record(kind, path, self.place_of(path))

    @contextlib.contextmanager
    def lock(self, *, dry_run: bool = False) -> Iterator[None]:
        """Be the only driver. The OS releases the lock when the process exits, even if it is killed.

        A dry run only checks that there is no other driver, and writes nothing.

        Raises:
            UserError: not writable, or with a link; or another driver is running, whose host and process are named.
        """
        require_writable(self.folder)
        refuse_links(self.folder, layout.CHANGED)
        advice = "wait for it, stop it, or start a study with another name"
        with locks.owned(self.folder / layout.LOCK, f"study {self.name} is being run", advice, dry_run=dry_run):
            yield

    def trials(self) -> list[int]:
        """Numbers of the trials that have a folder, ascending."""
        numbers = ((layout.trial_of(path.name), path) for path in entries(self.folder / layout.TRIALS))
        return sorted(number for number, path in numbers if number is not None and exists(path / layout.RECIPE))

    def trial_folder(self, number: int) -> Path:
        """Folder of a trial, named by its number in four digits."""
        return self.folder / layout.trial(number)

    def begin_trial(self, number: int, recipe: Recipe) -> None:
        """Write a trial's recipe."""
        self.trial_folder(number).mkdir(parents=True, exist_ok=True)
        path = self.trial_folder(number) / layout.RECIPE
        recipe.save(path, self.place_of(path))

    def recipe(self, number: int) -> Recipe:
        """The recipe of a trial."""
        path = self.trial_folder(number) / layout.RECIPE
        return Recipe.load(path, self.place_of(path))

    def end_trial(
        self,
        number: int,
        state: State,
        reason: str,
        score: float | None,
        *,
        traceback: str | None = None,
        trained: float | None = None,
    ) -> None:
        """Write how a trial ended; call it before listeners are notified.

        Args:
            traceback: of a failed trial, as formatted by Python; written to ``traceback.txt``.
            trained: as in ``TrialEnd``.
        """
        write_traceback(self.trial_folder(number), traceback)
        end = TrialEnd(state=state, reason=reason, score=score, ended=self.clock.now(), trained=trained)
        self.write(self.trial_folder(number) / layout.STATE, dataclasses.asdict(end))

    def end(self, number: int) -> TrialEnd | None:
        """How a trial ended; None while it is running."""
        path = self.trial_folder(number) / layout.STATE
        return self.read(TrialEnd, path) if path.is_file() else None

    def origin(self, number: int) -> Origin | None:
        """The earlier study that a trial was reused from; None if the trial ran in this study."""
        path = self.trial_folder(number) / layout.ORIGIN
        return self.read(Origin, path) if path.is_file() else None

    def seeds(self, number: int) -> list[int]:
        """Seeds that were started for a trial, ascending: its own and those of its repeats."""
        seeds = (layout.seed_of(path.name) for path in entries(self.trial_folder(number)))
        return sorted(seed for seed in seeds if seed is not None)

    def seed_folder(self, number: int, seed: int) -> Path:
        """Folder of a trial's folds for one seed."""
        return self.trial_folder(number) / layout.seed(seed)

    def begin_repeat(self, number: int, seed: int) -> None:
        """Record that a trial is repeated with another seed, by creating the folder of that seed."""
        self.seed_folder(number, seed).mkdir(parents=True, exist_ok=True)

    def fail_repeat(self, number: int, seed: int, reason: str, *, traceback: str | None = None) -> None:
        """Write why a repeat ended without all folds.

        Args:
            traceback: as formatted by Python; written to ``traceback.txt`` next to the repeat's folds.
        """
        write_traceback(self.seed_folder(number, seed), traceback)
        self.write(self.seed_folder(number, seed) / layout.FAILED, dataclasses.asdict(RepeatFailure(reason=reason)))

    def repeat_failure(self, number: int, seed: int) -> str | None:
        """Why a repeat failed; None if it did not."""
        path = self.seed_folder(number, seed) / layout.FAILED
        return self.read(RepeatFailure, path).reason if path.is_file() else None

    def write_epoch(self, number: int, epoch: Epoch) -> bool:
        """Add an epoch to ``epochs.csv`` unless it is already there; returns whether it was added.

        An epoch that was trained again, because a crash lost its checkpoint, is recorded in ``repeated.csv``. It is
        recognized by its seconds, which differ; an epoch restored from a checkpoint has the same seconds, be they those
        in ``epochs.csv`` or, if the checkpoint is of a later training of the epoch, in ``repeated.csv``.
        """
        rows = self._epochs.setdefault(
            number,
            {
                (row["seed"], row["fold"], row["epoch"]): {str(name): value for name, value in row.items()}
                for row in self.epochs(number).to_dict("records")
            },
        )
        key = (epoch.seed, epoch.fold, epoch.epoch)
        if key in rows:
            if rows[key]["seconds"] != epoch.seconds:
                self._write_repeated(number, epoch)
            return False
        rows[key] = dataclasses.asdict(epoch)
        table = pd.DataFrame([rows[key] for key in sorted(rows)], columns=list(EPOCH_COLUMNS))
        self._write_table(number, layout.EPOCHS, table)
        return True

    def _write_repeated(self, number: int, epoch: Epoch) -> None:
        row = pd.DataFrame([{name: getattr(epoch, name) for name in REPEATED_COLUMNS}])
        known = self.repeated(number)
        if (known == row.iloc[0]).all(axis=1).any():
            return
        self._write_table(number, layout.REPEATED, pd.concat([known, row]) if len(known) else row)

    def repeated(self, number: int) -> pd.DataFrame:
        """Epochs that were trained again, as ``seed, fold, epoch, seconds``; may be empty."""
        return self._read_table(number, layout.REPEATED, REPEATED_COLUMNS)

    def epochs(self, number: int) -> pd.DataFrame:
        """A trial's epochs, sorted by seed, fold, epoch; may be empty."""
        return self._read_table(number, layout.EPOCHS, EPOCH_COLUMNS)

    def write_fold(self, number: int, result: FoldResult, table: pd.DataFrame) -> FoldRecord | None:
        """Commit a finished fold: write its predictions, then the JSON that marks it as committed.

        Returns:
            The record that ``fold`` will read; None if the fold was already committed (nothing is written then).
        """
        if result.fold in self.folds_done(number, result.seed):
            return None
        folder = self.seed_folder(number, result.seed)
        folder.mkdir(parents=True, exist_ok=True)
        predictions = predictions_csv(table.loc[result.rows].assign(probability_leukemic=result.probabilities))
        write_text(folder / layout.predictions(result.fold), predictions)
        record = FoldRecord.of(result, hashlib.sha256(predictions.encode()).hexdigest(), self.clock.now())
        self.write(folder / layout.fold(result.fold), dataclasses.asdict(record))
        return record

    def folds_done(self, number: int, seed: int) -> list[int]:
        """Numbers of a trial's committed folds, ascending."""
        found = (layout.fold_of(path.name) for path in entries(self.seed_folder(number, seed)))
        return sorted(fold for fold in found if fold is not None)

    def fold(self, number: int, seed: int, fold: int) -> FoldRecord:
        """A committed fold; its record must be of that fold and seed, with the score that the search maximizes."""
        path = self.fold_file(number, seed, fold)
        record = self.read(FoldRecord, path)
        for name, expected in (("fold", fold), ("seed", seed)):
            if getattr(record, name) != expected:
                raise wrong_value(path, name, f"{expected}, as in its path", getattr(record, name))
        if self.objective not in record.scores:
            raise missing_field(path, f"scores.{self.objective}")
        return record

    def fold_file(self, number: int, seed: int, fold: int) -> Path:
        """The JSON file that commits a fold; its predictions are next to it, as CSV."""
        return self.seed_folder(number, seed) / layout.fold(fold)

    def out_of_fold(self, number: int, seed: int) -> pd.DataFrame:
        """Predictions of all committed folds, in fold order, with the columns of ``fold_K.csv`` and ``fold``.

        Raises:
            UserError: a file is damaged, or the scores of a fold are not those of its predictions.
        """
        tables = []
        for fold in self.folds_done(number, seed):
            path, record = self.fold_file(number, seed, fold), self.fold(number, seed, fold)
            predictions = read_predictions(path.with_suffix(".csv"), record)
            check_scores(path, record, predictions)
            tables.append(predictions.assign(fold=fold))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*FOLD_COLUMNS, "fold"])

    def _write_table(self, number: int, name: str, table: pd.DataFrame) -> None:
        path = self.trial_folder(number) / name
        write_epochs(path, table, self.place_of(path))

    def _read_table(self, number: int, name: str, columns: Sequence[str]) -> pd.DataFrame:
        path = self.trial_folder(number) / name
        return read_epochs(path, columns, self.place_of(path))
