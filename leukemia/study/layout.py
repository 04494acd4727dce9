"""Names of a study's files, relative to its folder: on this machine's disk, and in a storage that mirrors it."""

from __future__ import annotations

STUDY = "study.json"
"""How the study was begun; a folder with it is a study."""

SPLITS = "splits.json"
JOURNAL = "optuna.journal"
"""What Optuna knows. Only a search that has begun writes it."""

LOG = "search.log"
"""What happened, in full."""

BEST = "best.json"
LEDGER = "ledger.json"
HINDSIGHT = "hindsight.json"
LEAKCHECK = "leakcheck.json"
SWEEP = "sweep.json"
"""The study's sweep in W&B, once there is one."""

LOCK = "driver.lock"
"""Held by the driver; no part of the study."""

WANDB = "wandb"
"""Folder of the runs as W&B's client keeps them."""

REPORT = "report.html"
AUGMENTED = "augmented.png"
CALIBRATION = "calibration.png"
CONFUSION = "confusion.png"
CURVES = "curves.png"
DEVICE_TIME = "device_time.png"
FRONT = "front.png"
IMPORTANCES = "importances.png"
ROC = "roc.png"
SEARCH = "search.png"
PICTURES = "*.png"
"""Pattern of the pictures of a report."""

TRIALS = "trials"
"""Folder of all trials."""

RECIPE = "recipe.json"
"""Of a trial, and of the delivered model."""

EPOCHS = "epochs.csv"
"""Of a trial, and of the delivered model."""

REPEATED = "repeated.csv"
"""Epochs of a trial that were trained twice."""

STATE = "state.json"
"""How a trial ended."""

ORIGIN = "origin.json"
"""Where a trial was taken over from."""

TRACEBACK = "traceback.txt"
FAILED = "failed.json"
"""Why a repeat failed, in its seed's folder."""

FINAL = "final"
"""Folder of the delivered model."""

WEIGHTS = "model.safetensors"
METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
CARD = "MODEL_CARD.md"

_SEED, _FOLD = "seed_", "fold_"


def trial(number: int) -> str:
    """Folder of a trial.

    >>> trial(7)
    'trials/0007'
    """
    return f"{TRIALS}/{number:04d}"


def seed(value: int | str) -> str:
    """Folder of a seed within its trial's; of any seed by ``"*"``.

    >>> seed(0)
    'seed_0'
    """
    return f"{_SEED}{value}"


def seed_of(folder: str) -> int | None:
    """The seed by its folder's name, None of any other name.

    >>> seed_of("seed_12"), seed_of("seed_12.old")
    (12, None)
    """
    return _number(folder, _SEED)


def fold(value: int | str) -> str:
    """The file that commits a fold, within its seed's folder; of any fold by ``"*"``.

    >>> fold(3)
    'fold_3.json'
    """
    return f"{_FOLD}{value}.json"


def predictions(value: int | str) -> str:
    """A fold's out-of-fold predictions, beside the file that commits it.

    >>> predictions(3)
    'fold_3.csv'
    """
    return f"{_FOLD}{value}.csv"


def fold_of(name: str) -> int | None:
    """The fold by the name of the file that commits it, None of any other name.

    >>> fold_of("fold_3.json"), fold_of("fold_3.csv")
    (3, None)
    """
    return _number(name.removesuffix(".json"), _FOLD) if name.endswith(".json") else None


def is_of_fold(name: str) -> bool:
    """Whether a file's name is that of a fold's predictions, or of the file that commits it."""
    return name.startswith(_FOLD)


def _number(name: str, prefix: str) -> int | None:
    digits = name.removeprefix(prefix)
    return int(digits) if name.startswith(prefix) and digits.isdecimal() else None
