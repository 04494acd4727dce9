"""File names of a study, relative to its folder; the same on disk and in the storage that mirrors it."""

from __future__ import annotations

import re

from leukemia.base.errors import UserError
from leukemia.config import delivered
from leukemia.config.plugins import FILE_NAME

STUDY = "study.json"
CONFIG = "config.yaml"
"""How the study was started; a folder that contains this file is a study."""

SPLITS = "splits.json"
JOURNAL = "optuna.journal"
"""Optuna's journal; absent until the search starts."""

LOG = "search.log"
"""The full log of the search."""

BEST = "best.json"
LEDGER = "ledger.json"
HINDSIGHT = "hindsight.json"
LADDER = "ladder.json"
"""The trials that wait; absent if none ever has."""

LEAKCHECK = "leakcheck.json"
TRIALS_CSV = "trials.csv"
"""All trials with their results and recipes, written with the report."""

SWEEP = "sweep.json"
"""The study's sweep in W&B; absent if there is none."""

LOCK = "driver.lock"
"""Locked by the driver; not part of the study."""

WANDB = "wandb"
"""Folder for the local files of W&B's runs."""

REPORT = "report.html"
AUGMENTED = "augmented.png"
CALIBRATION = "calibration.png"
CONFUSION = "confusion.png"
CONTACT_SHEET = "contact_sheet.png"
CURVES = "curves.png"
DEVICE_TIME = "device_time.png"
FRONT = "front.png"
IMPORTANCES = "importances.png"
LADDER_PICTURE = "ladder.png"
PRECISION_RECALL = "precision_recall.png"
ROC = "roc.png"
SCALING = "scaling.png"
"""Calibration out of fold, before and after temperature scaling."""

SEARCH = "search.png"
PICTURES = "*.png"
"""Glob pattern of a report's pictures."""

TRIALS = "trials"
"""Folder of all trials."""

RECIPE = delivered.RECIPE
"""In the folder of a trial and of the delivered model."""

EPOCHS = "epochs.csv"
"""In the folder of a trial and of the delivered model."""

REPEATED = "repeated.csv"
"""Epochs of a trial that were trained again after a crash."""

STATE = "state.json"
"""How a trial ended."""

ORIGIN = "origin.json"
"""The earlier study that a trial was reused from."""

TRACEBACK = "traceback.txt"
FAILED = "failed.json"
"""Why a repeat failed; in the folder of its seed."""

FINAL = "final"
"""Default folder of a delivered model."""

ENSEMBLE = "ensemble"
"""Default folder of a delivered ensemble."""

MODEL = "model.json"
"""In the folder of a delivered model: where it comes from; written last."""

WEIGHTS = delivered.WEIGHTS
METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
PATIENTS = "patients.csv"
"""In the folder of a delivered model: its test set by patient."""

CARD = "MODEL_CARD.md"
SEEN = "seen.json"
"""In the folder of a delivered model: hashes of its training images and their subjects."""

APPEARANCE = "appearance.json"
"""In the folder of a delivered model: what its training images look like."""

PLUGINS = "plugins"
"""In the folder of a study, and of a delivered model: copies of the files of their plug-ins."""

TESTS = "tests"
"""In the folder of a delivered model: a folder for each test set, with its name."""

EARLIER_TESTS = "earlier_tests"
"""As ``TESTS`` in earlier versions: all test sets but the latest, with their fingerprints as names."""

_SEED, _FOLD = "seed_", "fold_"

REPORT_FILES = frozenset(
    (
        REPORT,
        AUGMENTED,
        CALIBRATION,
        CONFUSION,
        CONTACT_SHEET,
        CURVES,
        DEVICE_TIME,
        FRONT,
        IMPORTANCES,
        LADDER_PICTURE,
        PRECISION_RECALL,
        ROC,
        SCALING,
        SEARCH,
    )
)
STUDY_FILES = REPORT_FILES | {
    *(STUDY, CONFIG, SPLITS, JOURNAL, LOG, BEST, LADDER, LEDGER, HINDSIGHT, LEAKCHECK, SWEEP, TRIALS_CSV),
}
TRIAL_FILES = frozenset((RECIPE, EPOCHS, REPEATED, STATE, ORIGIN, TRACEBACK))
SEED_FILES = frozenset((FAILED, TRACEBACK))
MODEL_FILES = REPORT_FILES | {MODEL, WEIGHTS, RECIPE, EPOCHS, METRICS, PREDICTIONS, PATIENTS, CARD, SEEN, APPEARANCE}
"""Names of the files in the folder of a study, of a trial, of its seeds (next to the folds), and of a model."""

CHANGED = (LOCK, LOG, JOURNAL)
"""Files of a study that are changed in place; all others are replaced."""

RESERVED = STUDY_FILES | {LOCK, WANDB, TRIALS, PLUGINS, "aside", "checkpoints", "driver.json"}
"""Names that a study uses itself, the last three in its mirror: no model can be delivered there."""


def _one_of(names: frozenset[str]) -> str:
    return f"({'|'.join(map(re.escape, sorted(names)))})"


LONGEST_NAME = 200
"""Of a new study, in characters: names of temporary and lock files are longer, and most disks allow 255."""

_NAME, _TEST = re.compile(r"[A-Za-z0-9._-]+"), re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")

# One spelling of each number: a copy such as 00007 is no second folder of trial 7.
_TRIAL, _NUMBER = re.compile(r"[0-9]{4}|[1-9][0-9]{4,}"), re.compile(r"0|[1-9][0-9]*")

_STUDY_FILE = re.compile(
    f"{_one_of(STUDY_FILES)}"
    f"|{TRIALS}/({_TRIAL.pattern})/({_one_of(TRIAL_FILES)}"
    f"|{_SEED}({_NUMBER.pattern})/({_one_of(SEED_FILES)}|{_FOLD}({_NUMBER.pattern})\\.(json|csv)))"
    f"|{WANDB}/[^/]*run-[^/]+/.+"
    f"|{PLUGINS}/{FILE_NAME.pattern}"
    # A delivered model, in ``FINAL`` or a folder with another name.
    f"|(?!{TRIALS}/|{WANDB}/|{PLUGINS}/|\\.)[^/]+/({PLUGINS}/{FILE_NAME.pattern}"
    f"|({TESTS}/{_TEST.pattern}/|{EARLIER_TESTS}/[0-9a-f]{{16}}/)?{_one_of(MODEL_FILES)})"
)


def is_study_file(name: str) -> bool:
    """Whether a study has files of this name; any other file in its folder is foreign, and is left alone.

    Args:
        name: relative to the study's folder.

    >>> [is_study_file(name) for name in ("trials/0007/seed_0/fold_1.csv", "final/model.safetensors", "best.json")]
    [True, True, True]
    >>> [is_study_file(name) for name in ("plugins/lion.py", "final/plugins/lion.py", "final/lion.py")]
    [True, True, False]
    >>> is_study_file("final/tests/hospital-2/metrics.json")
    True
    >>> [is_study_file(name) for name in ("trials/notes.txt", "notes/a.txt", "photo.png", ".best.json.0a1b.tmp")]
    [False, False, False, False]
    """
    return _STUDY_FILE.fullmatch(name) is not None


def check_name(name: str, option: str = "--study") -> None:
    """Raise ``UserError`` unless the name that was given with ``option`` is a portable folder name."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UserError(f"{option}: expected letters, digits, '.', '_' or '-', got {name!r}")


def check_new_name(name: str) -> None:
    """Raise ``UserError`` unless a new study may have the name: portable, short, and no option or hidden file."""
    check_name(name)
    if not name[0].isalnum() or len(name) > LONGEST_NAME:
        raise UserError(
            f"--study: expected a letter or digit first, and at most {LONGEST_NAME} characters, got {name!r:.80}"
        )


def trial(number: int) -> str:
    """Folder of a trial.

    >>> trial(7)
    'trials/0007'
    """
    return f"{TRIALS}/{number:04d}"


def trial_of(folder: str) -> int | None:
    """The trial of a folder's name; None for any other name.

    >>> trial_of("0007"), trial_of("00007"), trial_of("0007.old")
    (7, None, None)
    """
    return int(folder) if _TRIAL.fullmatch(folder) else None


def seed(value: int | str) -> str:
    """Folder of a seed in its trial's folder; a glob pattern for ``"*"``.

    >>> seed(0)
    'seed_0'
    """
    return f"{_SEED}{value}"


def seed_of(folder: str) -> int | None:
    """The seed of a folder name; None for any other name.

    >>> seed_of("seed_12"), seed_of("seed_12.old")
    (12, None)
    """
    return _number(folder, _SEED)


def fold(value: int | str) -> str:
    """The file that commits a fold, in the folder of its seed; a glob pattern for ``"*"``.

    >>> fold(3)
    'fold_3.json'
    """
    return f"{_FOLD}{value}.json"


def predictions(value: int | str) -> str:
    """A fold's out-of-fold predictions, next to the file that commits it.

    >>> predictions(3)
    'fold_3.csv'
    """
    return f"{_FOLD}{value}.csv"


def fold_of(name: str) -> int | None:
    """The fold of a file name that commits a fold; None for any other name.

    >>> fold_of("fold_3.json"), fold_of("fold_3.csv")
    (3, None)
    """
    return _number(name.removesuffix(".json"), _FOLD) if name.endswith(".json") else None


def is_fold_file(name: str) -> bool:
    """Whether a file name is that of a fold's predictions or of the file that commits a fold."""
    return name.startswith(_FOLD)


def _number(name: str, prefix: str) -> int | None:
    digits = name.removeprefix(prefix)
    return int(digits) if name.startswith(prefix) and _NUMBER.fullmatch(digits) else None
