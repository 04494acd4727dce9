"""The journal: the Optuna study of a search, which proposes recipes and records how trials ended."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from leukemia.base.errors import UserError, first_line
from leukemia.base.record import RESTORE
from leukemia.config.recipe import Recipe
from leukemia.study.importances import Explained
from leukemia.study.schema import SamplerName, State
from search.policy.portfolio import starts_of
from search.policy.space import Space
from search.sampling.entry import PLACE, STATES, Entry, check_space, distribution_of, fold_key
from search.sampling.importance import importances_of
from search.sampling.journal_file import JournalFile
from search.sampling.samplers import METHODS, Samplers
from search.sampling.shadow import Shown
from search.sampling.suggestions import recipe_of

optuna.logging.set_verbosity(optuna.logging.ERROR)
logging.getLogger("optuna").propagate = False


@dataclass(frozen=True, kw_only=True)
class Prior:
    """A finished trial of an earlier study, as it is added to the journal of a new one."""

    recipe: Recipe
    state: State
    fold_scores: dict[int, float]
    cost: float
    """Device seconds."""

    origin: str
    """Uid of the earlier study, and the trial."""


class Journal:
    """The Optuna study of a search, stored in ``optuna.journal``."""

    def __init__(
        self,
        path: Path,
        space: Space,
        *,
        seed: int,
        name: str,
        by_cost: bool = False,
        metric_names: Sequence[str] = (),
        sampler: SamplerName = "tpe",
        num_starts: int = 1,
        recipes: Sequence[Recipe] = (),
        priors: Sequence[Prior] = (),
    ) -> None:
        """Open or create a journal. The caller must hold the study's lock: leftovers of a crashed driver are removed.

        Args:
            name: name of a new Optuna study; an existing one is opened under any name, since the study's folder may
                have been renamed.
            by_cost: minimize the cost as a second objective.
            metric_names: of the objectives, for tools that show the journal; none if empty.
            num_starts: maximum number of starting recipes, which are the first trials.
            recipes: of a comparison, each for one trial, instead of starting recipes.
            priors: finished trials that get the first numbers; those already in the journal are not added again.

        Raises:
            UserError: the file is damaged.
        """
        self.path = path
        self.space, self._seed, self._by_cost, self._num_priors = space, seed, by_cost, len(priors)
        self._samplers = Samplers(METHODS[sampler], space, seed=seed)
        self._file = JournalFile(path)
        directions = [StudyDirection.MAXIMIZE, *([StudyDirection.MINIMIZE] if by_cost else [])]
        try:
            storage = JournalStorage(self._file)
            names = optuna.get_all_study_names(storage)
            self._study = optuna.create_study(
                storage=storage, study_name=names[0] if names else name, directions=directions, load_if_exists=True
            )
        except Exception as error:
            # Optuna does not validate the file, so a damaged one can raise any exception.
            raise UserError(f"{path}: not an Optuna journal ({first_line(error)}); {RESTORE}") from None
        if len(names) > 1:
            raise UserError(
                f"{path}: expected one study, got {len(names)} ({', '.join(names)}); restore it from a backup"
            )
        if self._study.directions != directions:
            raise UserError(f"{path}: expected {directions} for its scores, got {self._study.directions}; {RESTORE}")
        if metric_names and self._study.metric_names is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                self._study.set_metric_names(list(metric_names))
        starts = list(recipes) or starts_of(space, num_starts)
        for trial in self._study.get_trials(deepcopy=False):
            check_space(path, space, trial, starts)
        new = [start for start in starts if all(prior.recipe != start for prior in priors)]
        # The starting recipes wait once, after the priors.
        places = range(len(priors), len(priors) + len(new))
        if extra := [number for number in self._waiting() if number not in places]:
            raise UserError(f"{path}: trial {extra[0]:04d} waits to start, which this search did not add; {RESTORE}")
        self._open: dict[int, optuna.Trial] = {}
        num_known = len(self._study.get_trials(deepcopy=False))
        with self._file.batch():
            for prior in priors[num_known:]:
                self._study.add_trial(self._frozen(prior))
            for start in new[max(0, num_known - len(priors)) :]:
                self._study.enqueue_trial(space.parameters(start))

    def _waiting(self) -> list[int]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial.number for trial in trials if trial.state == TrialState.WAITING]

    def _frozen(self, prior: Prior) -> optuna.trial.FrozenTrial:
        """A prior as an Optuna trial."""
        parameters = self.space.parameters(prior.recipe)
        values = None
        if prior.state == "complete":
            values = [float(np.mean(list(prior.fold_scores.values()))), *([prior.cost] if self._by_cost else [])]
        return optuna.trial.create_trial(
            state=STATES[prior.state],
            params=parameters,
            distributions={
                dimension.key: distribution_of(dimension)
                for dimension in self.space.dimensions
                if dimension.key in parameters
            },
            values=values,
            intermediate_values={} if self._by_cost else prior.fold_scores,
            user_attrs={"origin": prior.origin},
        )

    def num_trials(self) -> int:
        """Number of trials started in this study, ended or not; trials of earlier studies are not counted."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(trial.state != TrialState.WAITING for trial in trials) - self._num_priors

    def states(self) -> dict[int, TrialState]:
        """Optuna's state of each started trial, by number."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.number: trial.state for trial in trials if trial.state != TrialState.WAITING}

    def entries(self) -> dict[int, Entry]:
        """What is recorded of each started trial, by number."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.number: Entry.of(trial) for trial in trials if trial.state != TrialState.WAITING}

    def ends(self) -> dict[int, State | None]:
        """How each started trial ended, by number; None while it is running."""
        return {number: entry.state for number, entry in self.entries().items()}

    def ask(self, shown: Shown | None = None) -> tuple[int, Recipe]:
        """Start a new trial: its number and recipe. Without priors, trial 0 is the starting recipe.

        Args:
            shown: what is known of trials beyond this journal, as ``Ladder.shown``.
        """
        waiting = self._waiting()
        number = waiting[0] if waiting else len(self._study.get_trials(deepcopy=False))
        self._study.sampler = self._samplers.of(number, shown or {})
        with self._file.batch():
            return self._propose(self._study.ask())

    def adopt(self, shown: Shown | None = None) -> list[tuple[int, Recipe]]:
        """The trials that a crashed driver left running, with the same numbers and recipes.

        Args:
            shown: as for ``ask``; a crash may have cut off the last proposal.
        """
        return [
            self._adopt(trial.number, trial._trial_id, shown or {})
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state == TrialState.RUNNING
        ]

    def _adopt(self, number: int, trial_id: int, shown: Shown) -> tuple[int, Recipe]:
        self._study.sampler = self._samplers.resumed(number, shown)
        with self._file.batch():
            return self._propose(optuna.Trial(self._study, trial_id))

    def _propose(self, trial: optuna.Trial) -> tuple[int, Recipe]:
        recipe = recipe_of(trial, self.space)
        self._open[trial.number] = trial
        return trial.number, recipe

    def report(self, number: int, fold: int, score: float) -> None:
        """Record a fold's score as an intermediate value of the trial, unless it is already recorded.

        With two objectives Optuna does not accept intermediate values, so they are stored as user attributes.
        """
        trial = self._open[number]
        stored = self._study._storage.get_trial(trial._trial_id)
        if self._by_cost:
            if fold_key(fold) not in stored.user_attrs:
                trial.set_user_attr(fold_key(fold), score)
        elif fold not in stored.intermediate_values:
            trial.report(score, step=fold)

    def note_place(self, number: int, place: str) -> None:
        """Show in ``optuna-dashboard`` where a trial waits, or from where it went on, as a user attribute."""
        trial = self._open[number]
        stored = self._study._storage.get_trial(trial._trial_id)
        if stored.user_attrs.get(PLACE) != place:
            trial.set_user_attr(PLACE, place)

    def tell(self, number: int, state: State, score: float | None, cost: float) -> None:
        """Record the end of a trial.

        Args:
            score: mean over all folds; used for complete trials only.
            cost: device seconds; used if the cost is an objective.
        """
        trial = self._open.pop(number)
        values = None if score is None or state != "complete" else [score, *([cost] if self._by_cost else [])]
        self._study.tell(trial, values, state=STATES[state])

    def importances(self, scores: Mapping[int, float]) -> dict[str, Explained]:
        """As ``importances_of`` the trials of the study."""
        return importances_of(self._study.get_trials(deepcopy=False), scores, seed=self._seed)


def begun_trials(path: Path) -> set[int]:
    """Numbers of the trials started in a journal; empty for an empty file.

    Raises:
        UserError: the file is not a journal, or its study is missing.
    """
    try:
        studies = JournalStorage(JournalFile(path))
        names = optuna.get_all_study_names(studies)
        trials = [trial for name in names for trial in _trials(studies, name)]
    except Exception as error:
        # Optuna does not validate the file, so a damaged one can raise any exception.
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{path}: not an Optuna journal ({reason}); restore it from a backup") from None
    if not names and path.stat().st_size:
        raise UserError(f"{path}: expected an Optuna study, found none; restore it from a backup")
    return {trial.number for trial in trials if trial.state != TrialState.WAITING}


def _trials(studies: JournalStorage, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=studies).get_trials(deepcopy=False)
