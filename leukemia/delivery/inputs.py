"""The study and the data that a model is delivered from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.delivery.choice import Choice
from leukemia.delivery.out_of_fold import OutOfFold
from leukemia.delivery.overlap import HeldOut
from leukemia.delivery.seen import Seen
from leukemia.delivery.training_run import TrainingRun, runs_of
from leukemia.plugins.plugin_file import PluginFile
from leukemia.plugins.registry import check_files, require_loaded
from leukemia.scoring.thresholds import DEFAULT_RULE
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.decision import Decision
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The study and the data of a delivery, read and checked."""

    study: Study
    best: Best
    folder: Path
    """Of the model."""

    recipe: Recipe
    """The winner's recipe with the user's settings, resolved."""

    catalog: Catalog
    """Training data."""

    seen: Seen
    held_out: HeldOut | None
    """The test set; None to skip testing."""

    device: torch.device
    excess: str
    """As of ``use_threads``."""

    record: ModelRecord
    """Of the model, if it is trained now."""

    @property
    def runs(self) -> tuple[TrainingRun, ...]:
        """The trainings of the model."""
        return runs_of(self.recipe, self.record.ensemble)

    @property
    def has_single(self) -> bool:
        """Whether the model is an ensemble that is compared with the single model: on test images with labels."""
        return self.record.ensemble is not None and self.test is not None and self.test.has_labels

    @property
    def start(self) -> Recipe:
        """Trial 0's recipe, resolved."""
        return self.study.recipe(0).resolved(self.catalog.sizes)

    def chosen(self, rule: str | None, kept: Decision | None, prevalence: float | None) -> tuple[OutOfFold, Choice]:
        """The search's scores of the winner, and the model's threshold and temperature.

        Args:
            rule: how to choose the threshold; None for the one that the model has, or the default.
            kept: of the model if it exists. It is used if the rule is the same.
            prevalence: as of ``Choice``.
        """
        if kept is None or rule not in (None, kept.rule):
            found = self._out_of_fold(rule or DEFAULT_RULE, None, prevalence)
            decision = found.decision(rule or DEFAULT_RULE)
        else:
            found, decision = self._out_of_fold(kept.rule, kept.temperature, prevalence), kept
        return found, Choice.of(decision, found, prevalence)

    def _out_of_fold(self, rule: str, temperature: float | None, prevalence: float | None) -> OutOfFold:
        return OutOfFold.of(
            self.study,
            self.best,
            recipe_changed=self.recipe != self.best.recipe,
            rule=rule,
            temperature=temperature,
            prevalence=prevalence,
        )

    @property
    def test(self) -> Catalog | None:
        """The test images to predict; None to skip testing."""
        return None if self.held_out is None else self.held_out.catalog


def require_plugins(study: Study, recipe: Recipe, named: Iterable[PluginFile] = ()) -> None:
    """Check that a recipe can be trained with the plug-ins that have been named: those that the study ran with.

    Args:
        named: the files of ``--plugin``; one of the study is accepted even if this recipe does not use it.

    Raises:
        UserError: one is missing, or has another text; or nothing uses it.
    """
    of_study = {plugin.sha256 for plugin in study.info.plugins.values()}
    check_files([file for file in named if file.sha256 not in of_study], recipe, "the winner")
    require_loaded(recipe, copies=study.folder / layout.PLUGINS)
