"""The study folder of a plan: created and locked, or reopened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from leukemia.base.errors import UserError
from leukemia.base.files import atomic_folder, make_folder, require_space
from leukemia.study import layout
from leukemia.study.folder import Study
from search.launch.config_file import write_config
from search.launch.disk import STUDY_BYTES
from search.planning.plan import Plan
from search.planning.vacancy import require_vacant
from search.trials.warmstart import copy_priors


@contextlib.contextmanager
def created(plan: Plan) -> Iterator[Study]:
    """A new study, locked while it is run. Its folder appears complete or not at all.

    Raises:
        UserError: there is not enough disk space, or the folder is not free (any more).
    """
    make_folder(plan.folder.parent, "choose another folder with --runs")
    require_space(plan.folder.parent, STUDY_BYTES, "the study folder")
    with contextlib.ExitStack() as stack:
        try:
            with atomic_folder(plan.folder) as folder:
                stack.enter_context(Study(folder).lock())
                plan.splits.save(folder / layout.SPLITS)
                copy_priors(plan.priors, Study.create(folder, plan.info))
                write_config(folder, plan.info)
                for file in plan.plugins:
                    file.write(folder / layout.PLUGINS)
        except OSError as error:
            # Of two commands with the same study name, only one can rename its folder.
            require_vacant(plan.folder)
            raise UserError(
                f"{plan.folder}: cannot be created ({error.strerror}); choose another --study or --runs"
            ) from None
        yield Study(plan.folder)


def resumed(plan: Plan) -> Study:
    """The study of a resumed plan; ``study.json`` and ``config.yaml`` are rewritten if an argument changed them."""
    study = Study.open(plan.folder).updated(plan.info)
    write_config(study.folder, study.info)
    return study
