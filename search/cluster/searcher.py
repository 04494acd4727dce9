"""Tune's interface for the source of trials, implemented by calling the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from search.cluster.tune_config import task_of
from search.policy.task import Task


class DriverSearcher(Searcher):
    """Gives Tune the tasks that ``begin`` returns as its trials, and passes on how they end.

    Tune's own ``OptunaSearch`` stores a trial stopped by a scheduler as COMPLETE with its partial score, leaves a
    trial with a NaN running forever and keeps its state in a pickle.
    """

    def __init__(
        self,
        begin: Callable[[], dict[str, Any] | None],
        end: Callable[[Task, bool], None],
        idle: Callable[[], bool],
    ) -> None:
        """
        Args:
            begin: the next task's configuration (``tune_config``), or None if there is nothing to run now.
            end: called once per task with whether its process failed.
            idle: whether no job is running, be it between two folds; then None from ``begin`` is final.
        """
        super().__init__()
        self._begin, self._end, self._idle = begin, end, idle
        self._tasks: dict[str, Task] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its parts to restore them later, which this project never does."""
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Do nothing: the driver handles the objective."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next configuration, None if a running task must end first, or ``FINISHED``."""
        config = self._begin()
        if config is None:
            return Searcher.FINISHED if self._idle() else None
        self._tasks[trial_id] = task_of(config)
        return config

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on the end of a task."""
        self._end(self._tasks.pop(trial_id), error)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: journal and study folder are the state, so that resuming loads no pickle."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, as in ``save``."""


class Watch:
    """Keeps the first exception of the driver's methods; afterwards none of them is called again."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, watched."""

        def watched(*args: Any) -> Any:
            if self.error is not None:
                raise self.error
            try:
                return method(*args)
            except Exception as error:
                self.error = error
                raise

        return watched
