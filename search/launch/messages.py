"""Messages before the first trial: data, split, rules, search space, and where the study is mirrored."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Console

from leukemia.base.files import cache_dir
from leukemia.config.presets import PRESETS
from leukemia.config.protocol import WARNINGS
from leukemia.config.recipe import Recipe
from leukemia.config.results import num_folds_text
from leukemia.data.balance import describe_balance
from leukemia.data.location import SAMPLE, SAMPLE_WARNING, locate
from leukemia.data.survival import describe_survival
from leukemia.plugins.registry import names_in
from leukemia.scoring.metrics import majority_rate
from leukemia.study.folder import Study
from search.cluster import nodes
from search.planning.comparison import describe_comparison
from search.planning.plan import Plan, describe_rules
from search.policy.asked import NOTHING, Asked
from search.policy.dimensions import size_of
from search.policy.portfolio import starts_of
from search.policy.wishes import moved
from search.storage.claim import remembered_by
from search.storage.mirror import Mirror, NoMirror
from search.trials.commands import is_job
from search.trials.display import print_line


def print_plan(console: Console, plan: Plan) -> None:
    """Print and log the plan of a search."""
    catalog, info = plan.catalog, plan.info
    labels, (normal, leukemic) = catalog.table["label"].to_numpy(), catalog.class_names
    paths = " ".join(map(str, info.data.paths(locate(info.data.uri))))
    print_line(
        console,
        f"data: {len(labels)} images of {paths}, "
        f"{int((labels == 1).sum())} {leukemic} and {int((labels == 0).sum())} {normal} (majority rate "
        f"{majority_rate(labels):.3f})",
    )
    print_line(console, f"input: {describe_survival(plan.view, catalog.sizes)}")
    for remark in catalog.remarks:
        print_line(console, f"note: {remark}")
    if info.data.uri == SAMPLE:
        print_line(console, f"note: {SAMPLE_WARNING}")
    print_line(console, f"protocol: {info.protocol}, {num_folds_text(info.folds)}, objective {info.objective}")
    for line in describe_balance(plan.splits.validation(catalog), info.protocol):
        print_line(console, line)
    if info.protocol in WARNINGS:
        print_line(console, f"warning: {WARNINGS[info.protocol]}")
    for line in describe_comparison(plan) if plan.recipes else describe_rules(plan):
        print_line(console, line)
    if info.weights is not None:
        print_line(console, f"weights: {info.weights}")
    for file in plan.plugins:
        names = ", ".join(f"{kind} {name}" for name, kind in names_in(file).items())
        print_line(console, f"plug-in: {file.name} ({names}), SHA-256 {file.sha256}")
    if plan.recipes:
        for remark in plan.remarks:
            print_line(console, f"note: {remark}")
        return
    for line in _describe_space(plan):
        print_line(console, line)
    print_line(console, f"sampler: {info.sampler}{_further_starts(plan)}")


def _describe_space(plan: Plan) -> Iterator[str]:
    """The space, and how the user changed it."""
    info, space = plan.info, plan.space
    asked = Asked.from_dict(info.asked)
    own = [each.key for each in asked.dimensions]
    changed = f" ({len(own)} of them as you asked)" if own else ""
    fields = "1 field" if len(space.dimensions) == 1 else f"{len(space.dimensions)} fields"
    yield f"space: {fields}{changed}, trial 0 is {space.start.describe()}"
    for remark in plan.remarks:
        yield f"note: {remark}"
    if asked.left:
        yield f"left as in trial 0: {', '.join(asked.left)}"
    if own and (differences := moved(space.start, info.settings, PRESETS[info.preset](), asked)):
        yield f"trial 0 is moved into your space: {', '.join(differences)} of the preset {info.preset}"
    if "train.epochs" in own and "optimizer.restart_epochs" not in {*own, *info.settings} and not asked.only:
        yield "optimizer.restart_epochs is one cycle over all epochs of a trial, since train.epochs is searched"
    number = math.prod(size_of(each) for each in space.dimensions)
    if number < info.trials and asked != NOTHING:
        yield f"note: the space has at most {number:.0f} recipes, and --trials is {info.trials}: some are tried again"


def _further_starts(plan: Plan) -> str:
    """The starting recipes after that of trial 0; empty without others."""
    further = starts_of(plan.space, plan.info.starts)[1 : plan.info.trials]
    return f"; known recipes after trial 0: {'; '.join(map(Recipe.describe, further))}" if further else ""


def describe_devices(study: Study, device: str) -> str:
    """A warning if folds of a study were computed on another kind of device than its next ones; otherwise empty."""
    kinds = {
        record.device.partition(" ")[0]
        for number in study.trials()
        if study.origin(number) is None
        for seed in study.seeds(number)
        for record in (study.fold(number, seed, fold) for fold in study.folds_done(number, seed))
    }
    others = sorted(kinds - {device})
    if not others:
        return ""
    advice = "" if device in kinds else f"; --device {others[0]} continues as before"
    return (
        f"warning: finished folds of this study were computed on {' and '.join(others)}, the next ones will be on "
        f"{device}: their scores are compared, but may differ because of the device{advice}"
    )


def describe_store(plan: Plan, *, own: bool) -> str:
    """A warning if a node of a cluster has too little memory to share the decoded images; otherwise empty.

    Args:
        own: whether it is our own Ray, which reads them through the cache.
    """
    if own:
        return ""
    node, num_bytes = nodes.smallest_store()
    if plan.image_bytes() <= num_bytes:
        return ""
    return (
        f"warning: the decoded images take {plan.image_bytes() / 1e9:.2f} GB, and Ray's object store on {node} has "
        f"{num_bytes / 1e9:.2f} GB: there they will be in files, which is slower and needs that much disk space; give "
        "the nodes more memory, in a Slurm job with `sbatch --mem`"
    )


def describe_storage(plan: Plan, mirror: Mirror | NoMirror, *, resume: bool) -> str:
    """Where the study is mirrored, or on a cluster the risk of running without a mirror; otherwise empty."""
    if isinstance(mirror, Mirror):
        earlier = remembered_by(Study.open(plan.folder)) if resume else None
        moved = f"; the copy in {earlier} is left unchanged" if earlier not in (None, plan.info.storage) else ""
        return f"storage: mirrored in {mirror.storage}{moved}"
    cluster = nodes.current_nodes()
    if len(cluster.now) + cluster.max_more <= 1:
        return ""
    if is_job():
        return (
            f"storage: none; the study is in {plan.folder}, its checkpoints are in {cache_dir()}: if all nodes see "
            "both, trials resume from their checkpoints after a node has failed"
        )
    return (
        "storage: none; if a node crashes, its trials repeat their folds, and if this machine is lost, so is the study "
        f"({plan.folder}); --storage keeps copies of checkpoints and study"
    )
