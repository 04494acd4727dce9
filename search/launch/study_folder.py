"""The study folder of a plan: created and locked, or reopened."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.files import make_folder, require_space
from leukemia.study import layout
from leukemia.study.folder import Study
from search.planning.plan import Plan
from search.trials.warmstart import copy_priors


@contextlib.contextmanager
def created(plan: Plan) -> Iterator[Study]:
    """A new study, locked while it is run.

    Raises:
        UserError: there is not enough disk space, or another command has created the study since it was planned.
    """
    make_folder(plan.folder, "choose another folder with --runs")
    require_space(plan.folder, 50_000_000, "the study folder")
    # Locked before it is created: of two commands with the same name, only one creates it.
    with Study(plan.folder).lock():
        if not (plan.folder / layout.STUDY).exists():
            # The split first: a folder becomes a study with study.json.
            plan.splits.save(plan.folder / layout.SPLITS)
            _remove(plan.folder / layout.TRIALS)
            copy_priors(plan.priors, plan.folder)
        yield Study.create(plan.folder, plan.info)


def resumed(plan: Plan) -> Study:
    """The study of a resumed plan; ``study.json`` is rewritten if an argument changed it."""
    return Study.open(plan.folder).updated(plan.info)


def _remove(leftover: Path) -> None:
    """Remove the leftovers of a start that ended before the study was created."""
    if leftover.is_symlink() or leftover.is_file():
        leftover.unlink()
    elif leftover.is_dir():
        shutil.rmtree(leftover)
