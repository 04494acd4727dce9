"""What a run says to Weights & Biases, and its silent twin. One process, the driver, opens all runs of a study."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable
from typing import Any

import requests
import wandb

from leukemia.config import Recipe
from leukemia.crossval import score_name
from leukemia.mistakes import Mistake
from leukemia.study import State, Study
from leukemia.train import Epoch

log = logging.getLogger("search")

PROJECT = "leukemia-search"
"""W&B project, unless ``WANDB_PROJECT`` names another."""

FORMER_CLOUD = "https://api.wandb.ai"
"""Address of W&B's cloud that older versions wrote into the netrc file."""

INIT_TIMEOUT_SECONDS = 20
"""How long a run may wait for W&B's server before the search goes on offline."""


FINISH_TIMEOUT_SECONDS = 120
"""How long the end of a run may wait for its upload."""


class SilentTracker:
    """The twin that says nothing."""

    def begin(self, number: int, recipe: Recipe) -> None:
        """A trial begins or goes on."""

    def epoch(self, number: int, epoch: Epoch) -> None:
        """An epoch has ended."""

    def fold(self, number: int, fold: dict[str, Any]) -> None:
        """A fold is committed."""

    def end(self, number: int, state: State, reason: str, score: float | None) -> None:
        """A trial has ended."""


def _base_url() -> str:
    """W&B's server as W&B sees it: ``WANDB_BASE_URL``, what ``wandb login --host`` wrote down, or its default."""
    return str(wandb.setup().settings.base_url).rstrip("/")


def _key() -> str | None:
    """This machine's W&B key: from ``WANDB_API_KEY``, or from the netrc file where ``wandb login`` puts it."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    # A login to W&B's own cloud stays good under its new address; it is no business of any other server.
    is_cloud = _base_url() == str(wandb.Settings().base_url).rstrip("/")
    for address in (_base_url(), *([FORMER_CLOUD] if is_cloud else [])):
        if login := requests.utils.get_netrc_auth(address):
            return str(login[1])
    return None


def wanted_mode() -> str:
    """``online``, ``offline`` or ``disabled``: ``WANDB_MODE`` where it is set, else online with a key only.

    Raises:
        Mistake: ``WANDB_MODE`` is none of these.
    """
    mode = os.environ.get("WANDB_MODE", "").lower()
    if not mode:
        return "online" if _key() else "offline"
    if mode not in ("online", "offline", "disabled"):
        # W&B's older names, such as dryrun, must not end up online.
        raise Mistake(f"WANDB_MODE: expected online, offline or disabled, got {mode!r}; set one of these or unset it")
    return mode


def server_problem() -> str | None:
    """Why W&B's server cannot be used now (no key, no answer, key refused), or None when it can."""
    address, key = f"{_base_url()}/graphql", _key()
    if key is None:
        return "online by WANDB_MODE, but there is no key (`wandb login`)"
    try:
        answer = requests.post(
            address, json={"query": "query { viewer { id } }"}, auth=("api", key), timeout=INIT_TIMEOUT_SECONDS / 2
        )
        data = answer.json().get("data") if answer.ok else None
    except (requests.RequestException, ValueError) as error:
        return f"{address} does not answer ({type(error).__name__})"
    if not answer.ok:
        return f"{address} answers {answer.status_code} {answer.reason}"
    return None if (data or {}).get("viewer") else f"{address} refuses the key"


class WandbTracker:
    """One run per trial, with the recipe as config, a series per epoch and per fold, and a summary.

    A run's id is made of study uid and trial id. Offline, W&B would begin another folder for a run that goes on, so
    what a dead driver left of it is removed and the run is written again from the study folder. The same is done when
    W&B's own process dies; if it dies again at once, the search goes on without it and says so.
    """

    def __init__(self, study: Study, *, mode: str) -> None:
        """
        Args:
            mode: ``online`` or ``offline``; an online run that cannot be opened turns the rest offline, said once.
        """
        self._study, self._mode = study, mode
        self._info = study.info
        self._runs: dict[int, Any] = {}
        self._recipes: dict[int, Recipe] = {}
        self._gone = False

    def run_id(self, number: int) -> str:
        """W&B's id of a trial's run."""
        return f"{self._info['study_uid']}-{number:04d}"

    def begin(self, number: int, recipe: Recipe) -> None:
        """Open a trial's run; what the study folder holds of it already is logged first."""
        self._recipes[number] = recipe
        self._guard(lambda: self._begin(number))

    def epoch(self, number: int, epoch: Epoch) -> None:
        """Log an epoch as ``fold_K/...``."""
        self._guard(lambda: self._log_epoch(number, epoch))

    def fold(self, number: int, fold: dict[str, Any]) -> None:
        """Log a committed fold as ``fold/...``."""
        self._guard(lambda: self._log_fold(number, fold))

    def end(self, number: int, state: State, reason: str, score: float | None) -> None:
        """Write the summary and close the run; failed trials have exit code 1."""
        if number not in self._recipes:
            return
        self._guard(lambda: self._finish(number, state, reason, score))
        if number in self._runs:
            # What was written again instead is open still.
            self._guard(lambda: self._finish(number, state, reason, score))
        del self._recipes[number]

    def _guard(self, action: Callable[[], None]) -> None:
        """Do it, or write all open runs again, in which it is contained: the driver has written it down before."""
        if self._gone:
            return
        try:
            action()
        except Exception as error:
            # Whatever W&B stumbles over must not end a search of days.
            if self._mode == "online":
                self._mode = "offline"
                log.warning("W&B cannot be reached (%s); this search goes on offline", _first_line(error))
            else:
                log.warning("W&B failed (%s); its open runs are written again", _first_line(error))
            self._write_again()

    def _write_again(self) -> None:
        with contextlib.suppress(Exception):
            wandb.teardown()
        self._runs.clear()
        try:
            for number in self._recipes:
                self._begin(number)
        except Exception as error:
            self._gone = True
            log.warning("W&B failed again (%s); the search goes on without it", _first_line(error))

    def _begin(self, number: int) -> None:
        recipe = self._recipes[number]
        if self._mode == "offline":
            for left in (self._study.folder / "wandb").glob(f"*run-*-{self.run_id(number)}"):
                shutil.rmtree(left)
        self._runs[number] = run = self._init(number, recipe)
        run.define_metric("epoch")
        for fold in range(self._info["folds"]):
            run.define_metric(f"fold_{fold}/*", step_metric="epoch")
        run.define_metric("fold/number")
        run.define_metric("fold/*", step_metric="fold/number")
        table = self._study.epochs(number)
        rows = table[table["seed"] == recipe.train.seed].to_dict("records")
        epochs = [Epoch(**{str(key): value for key, value in row.items()}) for row in rows]
        folds = self._study.folds_done(number, recipe.train.seed)
        # In the order of their steps: W&B drops a step that lies behind.
        for fold in range(self._info["folds"]):
            for epoch in epochs:
                if epoch.fold == fold:
                    self._log_epoch(number, epoch)
            if fold in folds:
                self._log_fold(number, self._study.fold(number, recipe.train.seed, fold))

    def _init(self, number: int, recipe: Recipe) -> Any:
        provenance = {
            f"provenance.{key}": self._info[key] for key in ("commit", "command", "protocol", "seed", "hardware")
        }
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(self._study.folder),
            id=self.run_id(number),
            name=f"{self._study.name}-{number:04d}",
            group=self._study.name,
            job_type="trial",
            tags=[
                f"depth-{recipe.model.depth}",
                recipe.optimizer.name,
                recipe.model.shortcut,
                self._info["protocol"],
            ],
            config=recipe.flat() | provenance | {"provenance.data": self._info["data"]["fingerprint"]},
            mode="online" if self._mode == "online" else "offline",
            reinit="create_new",
            resume="allow" if self._mode == "online" else None,
            settings=quiet_settings(),
        )

    def _log_epoch(self, number: int, epoch: Epoch) -> None:
        series = {
            f"fold_{epoch.fold}/{name}": getattr(epoch, name)
            for name in (
                "train_loss",
                "train_accuracy",
                "validation_loss",
                "validation_accuracy",
                "learning_rate",
                "images_per_second",
                "device_memory_mb",
            )
        }
        step = epoch.fold * self._steps_of_fold(number) + epoch.epoch - 1
        self._runs[number].log(series | {"epoch": epoch.epoch}, step=step)

    def _log_fold(self, number: int, fold: dict[str, Any]) -> None:
        series = {f"fold/{name}": value for name, value in fold["scores"].items() if value is not None}
        step = (fold["fold"] + 1) * self._steps_of_fold(number) - 1
        self._runs[number].log(series | {"fold/number": fold["fold"], "fold/seconds": fold["seconds"]}, step=step)

    def _steps_of_fold(self, number: int) -> int:
        return self._recipes[number].train.epochs + 1

    def _finish(self, number: int, state: State, reason: str, score: float | None) -> None:
        run = self._runs[number]
        seed = self._recipes[number].train.seed
        summary: dict[str, Any] = {
            "state": state,
            "reason": reason,
            "folds_done": len(self._study.folds_done(number, seed)),
        }
        if score is not None:
            summary[score_name(self._info["objective"])] = score
        run.summary.update(summary)
        try:
            run.finish(exit_code=1 if state == "failed" else 0)
        except TimeoutError:
            self._mode = "offline"
            log.warning(
                "W&B does not take the end of trial %04d; the search goes on offline, and `wandb sync` sends it later",
                number,
            )
        del self._runs[number]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def quiet_settings() -> wandb.Settings:
    """Settings of a run that prints nothing and reads nothing but what it is given."""
    return wandb.Settings(
        silent=True,
        console="off",
        show_info=False,
        show_warnings=False,
        disable_git=True,
        save_code=False,
        x_save_requirements=False,
        x_disable_stats=True,
        x_disable_meta=True,
        init_timeout=INIT_TIMEOUT_SECONDS,
        finish_timeout=FINISH_TIMEOUT_SECONDS,
        finish_timeout_raises=True,
    )


def make_tracker(study: Study) -> tuple[WandbTracker | SilentTracker, str]:
    """The tracker that this machine allows, and one line for the user that says where the runs go."""
    mode = wanted_mode()
    if mode == "disabled":
        return SilentTracker(), "W&B: disabled by WANDB_MODE"
    if mode == "online":
        problem = server_problem()
        if problem is None:
            return WandbTracker(study, mode="online"), f"W&B: online, project {PROJECT}, group {study.name}"
        return WandbTracker(study, mode="offline"), f"W&B: {problem}; going on offline"
    folder = study.folder / "wandb"
    return WandbTracker(study, mode="offline"), f"W&B: offline in {folder} (`wandb login` to go online)"
