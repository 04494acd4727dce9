"""The study folder: what a search leaves on disk, written whole or not at all, by one driver at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import math
import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import atomic, read_record, write_json, write_text
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult, score_name
from leukemia.study.records import FOLD_COLUMNS, ORIGIN, check_info, read_end, read_epochs, read_fold, read_predictions

SCHEMA = 1
"""Version of ``study.json``."""

State = Literal["complete", "stopped", "failed"]
"""How a trial ends: all folds done; given up by the judge; crashed, non-finite or without a usable score."""

EPOCH_COLUMNS = tuple(field.name for field in dataclasses.fields(Epoch))
"""Seed, fold and epoch, which are whole numbers, then floats."""

REPEATED_COLUMNS = ("seed", "fold", "epoch", "seconds")

_TRIAL = re.compile(r"[0-9]{4,}")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def check_name(name: str) -> None:
    """Refuse a study name that is no portable folder name."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UserError(f"--study: expected letters, digits, '.', '_' or '-', got {name!r}")


class Study:
    """A study folder. Reading needs no lock; the driver writes under ``lock()``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._epochs: dict[int, dict[tuple[int, int, int], dict[str, Any]]] = {}

    @classmethod
    def create(cls, folder: Path, info: dict[str, Any]) -> Study:
        """Begin a study; ``info`` becomes ``study.json``. What a start that was killed before it left is reused.

        Raises:
            UserError: there is a study already.
        """
        if (folder / "study.json").exists():
            raise UserError(
                f"study {folder.name} exists in {folder.parent}; go on with --resume, or choose another --study"
            )
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        write_json(folder / "study.json", {"schema": SCHEMA, **info})
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> Study:
        """An existing study.

        Raises:
            MissingFile: no study there.
            UserError: a study of another schema.
        """
        path = folder / "study.json"
        if not path.is_file():
            raise MissingFile(
                f"no study at {folder}; --runs and the study's name must lead to a folder with study.json"
            )
        study = cls(folder)
        # Reading checks it.
        assert study.info
        return study

    @classmethod
    def find(cls, runs: Path, name: str | None) -> Study:
        """The named study, or without a name the newest one (by ``created``) that has a winner."""
        if name is not None:
            check_name(name)
            return cls.open(runs / name)
        studies = [cls.open(path.parent) for path in runs.glob("*/best.json")]
        if not studies:
            raise MissingFile(
                f"no study with a best.json in {runs}; run a search first, or name the folder with --runs"
            )
        return max(studies, key=lambda study: (str(study.info["created"]), study.name))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def info(self) -> dict[str, Any]:
        """The content of ``study.json``."""
        path = self.folder / "study.json"
        content = read_record(path, {"schema": int})
        if content["schema"] != SCHEMA:
            raise UserError(
                f"{path}: expected schema {SCHEMA}, got {content['schema']!r}; use the version that wrote it"
            )
        check_info(content, path)
        return content

    @functools.cached_property
    def objective(self) -> str:
        """The score of a fold that the search maximizes, such as ``tta_accuracy``."""
        return score_name(self.info["objective"])

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only driver. The system releases the lock when the process dies, however it dies.

        Raises:
            UserError: another driver is alive; host and process are named.
        """
        with (self.folder / "driver.lock").open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                raise UserError(
                    f"study {self.name} is being run by {stream.read().strip() or 'another process'}; "
                    "wait for it, stop it, or start a study of another name"
                ) from None
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            stream.flush()
            yield

    def trials(self) -> list[int]:
        """Numbers of the trials that have a folder, ascending."""
        folders = (path.parent.name for path in (self.folder / "trials").glob("*/recipe.json"))
        return sorted(int(name) for name in folders if _TRIAL.fullmatch(name))

    def trial_folder(self, number: int) -> Path:
        """Folder of a trial: its number in four digits."""
        return self.folder / "trials" / f"{number:04d}"

    def begin_trial(self, number: int, recipe: Recipe) -> None:
        """Write a trial's recipe."""
        self.trial_folder(number).mkdir(parents=True, exist_ok=True)
        write_text(self.trial_folder(number) / "recipe.json", recipe.to_json())

    def recipe(self, number: int) -> Recipe:
        """The recipe of a trial."""
        return Recipe.load(self.trial_folder(number) / "recipe.json")

    def end_trial(
        self, number: int, state: State, reason: str, score: float | None, *, traceback: str | None = None
    ) -> None:
        """Write how a trial ended, before anyone else is notified.

        Args:
            traceback: of a failed trial, as Python prints it; becomes ``traceback.txt``.
        """
        folder = self.trial_folder(number)
        _write_traceback(folder, traceback)
        write_json(folder / "state.json", {"state": state, "reason": reason, "score": score})

    def end(self, number: int) -> dict[str, Any] | None:
        """``{state, reason, score}`` of a trial that has ended, else None."""
        path = self.trial_folder(number) / "state.json"
        return read_end(path, get_args(State)) if path.is_file() else None

    def origin(self, number: int) -> dict[str, Any] | None:
        """``{study, study_uid, trial, seeds}`` of a trial that was taken over from an earlier study, else None."""
        path = self.trial_folder(number) / "origin.json"
        return read_record(path, ORIGIN) if path.is_file() else None

    def seeds(self, number: int) -> list[int]:
        """Seeds that a trial was begun with, ascending: its own, and those of its repeats."""
        names = (path.name.removeprefix("seed_") for path in self.trial_folder(number).glob("seed_*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def begin_repeat(self, number: int, seed: int) -> None:
        """Note that a trial is run with another seed; its folds lie beside those of the first."""
        (self.trial_folder(number) / f"seed_{seed}").mkdir(parents=True, exist_ok=True)

    def fail_repeat(self, number: int, seed: int, reason: str, *, traceback: str | None = None) -> None:
        """Write why a repeat ended without all folds.

        Args:
            traceback: as Python prints it; becomes ``traceback.txt`` beside the repeat's folds.
        """
        folder = self.trial_folder(number) / f"seed_{seed}"
        _write_traceback(folder, traceback)
        write_json(folder / "failed.json", {"reason": reason})

    def repeat_failure(self, number: int, seed: int) -> str | None:
        """Why a repeat failed, or None."""
        path = self.trial_folder(number) / f"seed_{seed}" / "failed.json"
        return str(read_record(path, {"reason": str})["reason"]) if path.is_file() else None

    def write_epoch(self, number: int, epoch: Epoch) -> bool:
        """Add an epoch to ``epochs.csv``. One that is there already is left alone: returns whether it was new.

        One that was trained a second time, after a crash that took its checkpoint, is noted in ``repeated.csv``;
        one that only the checkpoint remembered took the very same seconds.
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
                self._note_repeated(number, epoch)
            return False
        rows[key] = dataclasses.asdict(epoch)
        table = pd.DataFrame([rows[key] for key in sorted(rows)], columns=list(EPOCH_COLUMNS))
        write_text(self.trial_folder(number) / "epochs.csv", table.to_csv(index=False))
        return True

    def _note_repeated(self, number: int, epoch: Epoch) -> None:
        row = pd.DataFrame([{name: getattr(epoch, name) for name in REPEATED_COLUMNS}])
        table = pd.concat([self.repeated(number), row]) if len(self.repeated(number)) else row
        write_text(self.trial_folder(number) / "repeated.csv", table.to_csv(index=False))

    def repeated(self, number: int) -> pd.DataFrame:
        """Epochs that were trained twice, as ``seed, fold, epoch, seconds``; empty where none was."""
        path = self.trial_folder(number) / "repeated.csv"
        if not path.is_file():
            return pd.DataFrame(columns=list(REPEATED_COLUMNS))
        return read_epochs(path, REPEATED_COLUMNS)

    def epochs(self, number: int) -> pd.DataFrame:
        """A trial's epochs, sorted by seed, fold, epoch; empty where none has ended."""
        path = self.trial_folder(number) / "epochs.csv"
        if not path.is_file():
            return pd.DataFrame(columns=list(EPOCH_COLUMNS))
        return read_epochs(path, EPOCH_COLUMNS)

    def write_fold(self, number: int, result: FoldResult, table: pd.DataFrame) -> dict[str, Any] | None:
        """Commit a finished fold: first its predictions, then its JSON as the mark.

        Returns:
            What ``fold`` will read; None if the fold was committed before, which is then left alone.
        """
        if result.fold in self.folds_done(number, result.seed):
            return None
        folder = self.trial_folder(number) / f"seed_{result.seed}"
        folder.mkdir(parents=True, exist_ok=True)
        predictions = table.loc[result.rows, ["image_id", "subject", "group", "label"]].assign(
            probability_leukemic=result.probabilities
        )
        with atomic(folder / f"fold_{result.fold}.csv") as temporary:
            predictions.to_csv(temporary, index=False)
        record = {
            "fold": result.fold,
            "seed": result.seed,
            "n": len(result.rows),
            "scores": {name: value if np.isfinite(value) else None for name, value in result.scores.items()},
            "seconds": result.seconds,
            "device": result.device,
            "precision": result.precision,
        }
        write_json(folder / f"fold_{result.fold}.json", record)
        return record

    def folds_done(self, number: int, seed: int) -> list[int]:
        """Numbers of a trial's committed folds, ascending."""
        paths = (self.trial_folder(number) / f"seed_{seed}").glob("fold_*.json")
        names = (path.stem.removeprefix("fold_") for path in paths)
        return sorted(int(name) for name in names if name.isdecimal())

    def fold(self, number: int, seed: int, fold: int) -> dict[str, Any]:
        """The JSON of a committed fold."""
        return read_fold(self.fold_file(number, seed, fold), self.objective)

    def fold_file(self, number: int, seed: int, fold: int) -> Path:
        """The JSON that commits a fold; its predictions lie beside it, as CSV."""
        return self.trial_folder(number) / f"seed_{seed}" / f"fold_{fold}.json"

    def trial_table(self) -> pd.DataFrame:
        """All trials, complete ones first by score.

        Columns ``trial, state, recipe, folds, seeds, score, weighted_f1, reason, seconds``. The scores are means over
        the finished folds, of a complete trial those of its finished repeats included; NaN where there is none or one
        is undefined. ``folds`` and ``seconds`` are of the first seed.
        """
        rows = []
        for number in self.trials():
            recipe, end = self.recipe(number), self.end(number)
            folds = [self.fold(number, recipe.train.seed, fold) for fold in self.folds_done(number, recipe.train.seed)]
            repeats = self._finished_repeats(number, recipe.train.seed)
            every = [
                *folds,
                *(self.fold(number, seed, fold) for seed in repeats for fold in self.folds_done(number, seed)),
            ]
            rows.append(
                {
                    "trial": f"{number:04d}",
                    "state": end["state"] if end else "running",
                    "recipe": recipe.describe(),
                    "folds": f"{len(folds)}/{self.info['folds']}",
                    "seeds": 1 + len(repeats),
                    "score": _mean(fold["scores"][self.objective] for fold in every),
                    "weighted_f1": _mean(fold["scores"]["tta_weighted_f1"] for fold in every),
                    "reason": end["reason"] if end else "",
                    "seconds": sum(fold["seconds"] for fold in folds),
                }
            )
        columns = ["trial", "state", "recipe", "folds", "seeds", "score", "weighted_f1", "reason", "seconds"]
        table = pd.DataFrame(rows, columns=columns)
        order = table.assign(incomplete=table["state"] != "complete").sort_values(
            ["incomplete", "score", "trial"], ascending=[True, False, True], kind="stable"
        )
        return order[columns].reset_index(drop=True)

    def _finished_repeats(self, number: int, own: int) -> list[int]:
        """Other seeds of a trial that have all folds."""
        return [
            seed
            for seed in self.seeds(number)
            if seed != own
            and len(self.folds_done(number, seed)) == self.info["folds"]
            and self.repeat_failure(number, seed) is None
        ]

    def out_of_fold(self, number: int, seed: int) -> pd.DataFrame:
        """Predictions of all committed folds, in fold order: the columns of ``fold_K.csv`` and ``fold``."""
        tables = []
        for fold in self.folds_done(number, seed):
            path = self.fold_file(number, seed, fold).with_suffix(".csv")
            tables.append(read_predictions(path, self.fold(number, seed, fold)["n"]).assign(fold=fold))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*FOLD_COLUMNS, "fold"])


def _write_traceback(folder: Path, traceback: str | None) -> None:
    """Write ``traceback.txt``, or remove one of a driver that crashed before it wrote the end of the job."""
    if traceback is None:
        (folder / "traceback.txt").unlink(missing_ok=True)
    else:
        write_text(folder / "traceback.txt", traceback)


def _mean(scores: Iterable[float | None]) -> float:
    found = list(scores)
    return float(np.mean([score for score in found if score is not None])) if found and None not in found else math.nan
