"""The plan of a search: data, folds, space and study; for a new study, made from its arguments."""

from __future__ import annotations

import dataclasses
import datetime
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from leukemia.base import provenance
from leukemia.base.files import cache_path
from leukemia.base.quantity import quantity
from leukemia.config.earlier import with_present_names
from leukemia.config.optimizers import spec_of
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.config.results import COST, score_name
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import Splits, choose_folds, choose_protocol, make_splits
from leukemia.data.location import locate, uri_of
from leukemia.data.survival import viewed
from leukemia.data.view import View, view_of
from leukemia.plugins.plugin_file import PluginFile
from leukemia.study import layout
from leukemia.study.data_source import DataSource
from leukemia.study.given_recipes import compares
from leukemia.study.schema import SearchOptions, StudyInfo
from leukemia.training.device import best_device, describe_device
from leukemia.training.model import build_model
from search.planning.derived import check_derived
from search.planning.plugins import check_plugins, plugins_of
from search.planning.request import Request
from search.planning.vacancy import require_apart, require_vacant
from search.planning.weights import checked_weights
from search.policy.asked import Asked
from search.policy.comparison import as_comparison, comparison_of
from search.policy.dimensions import Choice
from search.policy.rules import Rules
from search.policy.rungs import Rungs, describe_rungs
from search.policy.space import Space, make_space
from search.policy.wishes import start_of
from search.trials.evidence import validation_of
from search.trials.warmstart import ReusedTrial, find_priors

WORDS = (
    "amber",
    "azure",
    "basil",
    "cedar",
    "coral",
    "daisy",
    "fern",
    "hazel",
    "ivory",
    "jade",
    "lilac",
    "maple",
    "opal",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All decisions before the first trial."""

    folder: Path
    info: StudyInfo
    catalog: Catalog
    splits: Splits
    space: Space
    priors: tuple[ReusedTrial, ...] = ()
    """Trials reused from earlier studies."""

    recipes: tuple[Recipe, ...] = ()
    """Of a comparison: those of its trials by number; the first is the start of the space. Empty for a search."""

    remarks: tuple[str, ...] = ()
    """On the arguments, to be printed with the plan."""

    plugins: tuple[PluginFile, ...] = ()
    """Which all trials run."""

    @property
    def view(self) -> View:
        """How all trials see the images."""
        return view_of(self.space.start)

    @property
    def rules(self) -> Rules:
        """The rules of the race."""
        info, recipes = self.info, [each.prior.recipe for each in self.priors]
        return Rules(
            num_folds=info.folds,
            objective=score_name(info.objective),
            by_cost=COST in info.objective.split(","),
            racing=info.racing,
            compares=compares(info),
            repeats=info.repeats,
            pausing=info.pausing and info.folds > 1,
            rungs=Rungs(shares=tuple(info.rungs), keep=info.keep),
            paused_before=info.paused_before,
            patience=info.patience,
            margin=info.margin / 100,
            num_priors=len(recipes),
            start=recipes.index(self.space.start) if self.space.start in recipes else len(recipes),
        )

    def with_cpu_threads(self, number: int | None) -> Plan:
        """The plan with the number of threads of its trials; unchanged if they do not run on a CPU (None)."""
        if number is None:
            return self
        return dataclasses.replace(self, info=dataclasses.replace(self.info, cpu_threads=number))

    def image_bytes(self) -> int:
        """Size of the decoded images on disk, in bytes."""
        return len(self.catalog.table) * self.view.size_px**2 * 3

    def checkpoint_bytes(self) -> int:
        """Size of a checkpoint of the largest network in the space, in bytes: weights and optimizer state."""
        names = [self.space.start.optimizer.name]
        for name in self._choices().get("optimizer.name", ()):
            names.append(with_present_names({"optimizer.name": name}, self.space.renamed)["optimizer.name"])
        return (1 + max(spec_of(name).num_states for name in names)) * self.model_bytes()

    def model_bytes(self) -> int:
        """Size of the weights of the largest network in the space, in bytes."""
        largest = 0
        for recipe in self._networks(self._choices()):
            with torch.device("meta"):
                network = build_model(recipe)
            largest = max(largest, sum(parameter.numel() for parameter in network.parameters()))
        return 4 * largest

    def _choices(self) -> dict[str, Sequence[Any]]:
        return {
            dimension.key: dimension.choices for dimension in self.space.dimensions if isinstance(dimension, Choice)
        }

    def _networks(self, choices: Mapping[str, Sequence[Any]]) -> Iterator[Recipe]:
        """A recipe with each network of the space, from scratch."""
        start = self.space.start
        for network in choices.get("model.network", (start.model.network,)):
            recipe = self.space.recipe({"model.network": network})
            if not recipe.model.is_resnet:
                yield recipe
                continue
            for depth in choices.get("model.depth", (recipe.model.depth,)):
                for shortcut in choices.get("model.shortcut", (recipe.model.shortcut,)):
                    yield Recipe().with_settings({"model.depth": depth, "model.shortcut": shortcut})


def new_name() -> str:
    """A study name from the current time, a random word and four random digits.

    Many searches may start in the same second, on machines that share a storage or W&B only.
    """
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return f"{moment}-{secrets.choice(WORDS)}-{secrets.token_hex(2)}"


def plan_new(request: Request, command: str) -> Plan:
    """Plan a new study; nothing is written yet.

    Raises:
        UserError: the arguments or the data are invalid.
    """
    name = new_name() if request.study is None else request.study
    layout.check_new_name(name)
    folder = request.runs / name
    require_vacant(folder)
    if request.data is not None:
        require_apart(folder, Path(request.data), "--runs")
        require_apart(cache_path(), Path(request.data), "LEUKEMIA_CACHE")
    request = request.with_space(request.given.get("preset", SearchOptions.preset))
    options = SearchOptions(**request.given, plugins=plugins_of(request.plugins))
    asked = Asked.from_dict(options.asked)
    for earlier in options.warm_start:
        layout.check_name(earlier, "--warm-start")
    comparison = comparison_of(options)
    start = start_of(PRESETS[options.preset](), options.settings, asked)
    if comparison is not None:
        options, start = as_comparison(options, request.given, len(comparison.recipes)), comparison.recipes[0]
    catalog = read_catalog(locate(uri_of(request.data)), request.reading, recipe=start)
    protocol = choose_protocol(catalog, request.given.get("protocol"))
    options = dataclasses.replace(options, folds=choose_folds(catalog, request.given.get("folds"), options.folds))
    splits = make_splits(catalog, options.folds, options.seed, protocol)
    start = start.resolved(catalog.sizes)
    catalog = viewed(catalog, view_of(start))
    comparison = comparison and comparison.resolved(start)
    space = comparison.space(options.settings) if comparison else make_space(start, options.settings, asked=asked)
    check_plugins(request.plugins, space)
    info = StudyInfo(
        **vars(dataclasses.replace(options, protocol=protocol, storage=request.storage_named)),
        study_uid=secrets.token_hex(4),
        created=provenance.now(),
        command=command,
        start=start.flat(),
        space=space.describe(),
        weights=checked_weights(space, catalog.fingerprint),
        data=DataSource(
            uri=uri_of(request.data),
            fingerprint=catalog.fingerprint,
            notes=list(catalog.recorded),
            **request.reading.given(),
        ),
        versions=provenance.versions(),
        commit=provenance.commit(),
        hardware=provenance.hardware(describe_device(best_device())),
        splits_sha256=splits.sha256(),
    )
    folders = [request.runs / each for each in info.warm_start]
    priors = find_priors(folders, info, space, validation_of(splits, catalog))
    recipes = comparison.recipes if comparison else ()
    check_derived(space, splits, info.repeats, priors, recipes)
    info = dataclasses.replace(info, paused_before=any(each.study.info.fold_0_chose for each in priors))
    return Plan(
        folder=folder,
        info=info,
        catalog=catalog,
        splits=splits,
        space=space,
        priors=priors,
        recipes=recipes,
        remarks=request.remarks,
        plugins=request.plugins,
    )


def _of_one_trial(plan: Plan) -> str:
    """Why there is one repeat only if there is a single trial; else empty."""
    is_single = plan.info.trials + len(plan.priors) == 1 and plan.info.repeats > 1
    return " (one here: a single trial has no runner-up to be compared with)" if is_single else ""


def _of_other_lengths(plan: Plan) -> str:
    """That trials differ in their number of epochs, if that is searched; else empty."""
    is_searched = any(dimension.key == "train.epochs" for dimension in plan.space.dimensions)
    return ", other trials after these shares of their own epochs" if is_searched else ""


def describe_rules(plan: Plan) -> list[str]:
    """How a search stops and repeats trials, as lines of text."""
    info = plan.info
    looks = "each fold but the first" if info.fold_0_chose else "each fold"
    racing = (
        f"racing: after {looks}, a trial is stopped if it is worse than the best by more than {info.margin:g} "
        f"{'point' if info.margin == 1 else 'points'}, with 95 % confidence over all comparisons"
        if info.racing and info.folds > (2 if info.fold_0_chose else 1)
        else "racing: has no effect with one fold; every trial runs it"
        if info.racing and info.folds == 1
        else "racing: has no effect with two folds and pausing; every trial runs both unless it is "
        "no better than chance"
        if info.racing
        else "racing: off; every trial runs all folds unless it is no better than chance"
    )
    repeats = (
        "; the starting recipe and the leaders are repeated with up to "
        f"{quantity(info.repeats, 'other seed')}{_of_one_trial(plan)}"
        if info.repeats
        else ""
    )
    lines = [racing + repeats]
    if info.pausing and info.folds == 1:
        lines.append("pausing: has no effect with one fold")
    if plan.rules.pausing:
        lines.append(
            f"pausing: a trial waits {describe_rungs(plan.space.start.train.epochs, tuple(info.rungs))}"
            f"{_of_other_lengths(plan)}, and goes on if it is among the best {100 * info.keep:g} % of those that came "
            "so far, or if nothing else is left to do"
        )
    if plan.priors:
        lines.append(f"warm start: {quantity(len(plan.priors), 'trial')} of {', '.join(info.warm_start)}")
    return lines
