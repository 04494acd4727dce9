"""What a search and its dry run do first: every check that needs neither decoded images nor Ray, and the plan."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
from collections.abc import Iterator

import torch

from leukemia.base.files import require_creatable
from leukemia.study.folder import Study
from leukemia.tracking.account import check_settings
from leukemia.training.device import compute_dtype, require_gpus_of_job
from search.cluster.nodes import Nodes, expected_nodes
from search.cluster.requirements import check_machine
from search.cluster.resources import Resources, plan_resources
from search.cluster.session import cluster_to_join
from search.launch.arguments import request_of
from search.launch.disk import CacheNeed
from search.planning.plan import Plan, plan_new
from search.planning.resumption import plan_resumed
from search.storage.claim import claimed, claimed_new, require_claimable, storage_of, viewed
from search.storage.mirror import Mirror, NoMirror


@contextlib.contextmanager
def prepared(arguments: argparse.Namespace, command: str) -> Iterator[tuple[Plan, Mirror | NoMirror]]:
    """The plan of a search and its mirror, after all checks. A dry run makes the same ones and claims nothing.

    Args:
        arguments: from ``search.launch.arguments.parse``.
        command: the command line, recorded in a new study.

    Raises:
        UserError: the arguments, the data, the folders, the storage or the machines do not allow the search.
    """
    check_settings()
    request, dry_run = request_of(arguments), arguments.dry_run
    storage = storage_of(request, resume=arguments.resume)
    if storage is not None:
        request = dataclasses.replace(request, storage=storage.uri)
    mirror: Mirror | NoMirror = NoMirror()
    with contextlib.ExitStack() as stack:
        if not arguments.resume:
            require_creatable(request.runs, "choose another folder with --runs")
            plan = plan_new(request, command)
            if dry_run:
                require_claimable(storage, plan.folder)
            else:
                mirror = stack.enter_context(claimed_new(storage, plan.folder))
        else:
            if dry_run:
                request = stack.enter_context(viewed(request, storage))
            else:
                mirror = stack.enter_context(claimed(request, storage))
            plan = plan_resumed(request)
            with contextlib.ExitStack() as tried:
                (tried if dry_run else stack).enter_context(Study.open(plan.folder).lock(dry_run=dry_run))
        _check_machines(plan, arguments)
        yield plan, mirror


def _check_machines(plan: Plan, arguments: argparse.Namespace) -> None:
    """Check that Ray can be used, and that it has what a trial needs."""
    joining = cluster_to_join(arguments.address)
    if joining is None and arguments.device != "cpu":
        require_gpus_of_job(os.environ)
    resources = resources_of(plan, arguments, expected_nodes(joining))
    if joining is None:
        check_machine()
        # Other machines may differ from this one.
        compute_dtype(plan.space.start, torch.device(resources.device))


def resources_of(plan: Plan, arguments: argparse.Namespace, nodes: Nodes) -> Resources:
    """The resources of the trials on these nodes, after a check of this machine's disk.

    Raises:
        UserError: no node has the device or as much of it, or the disk has too little space for images and checkpoints.
    """
    resources = plan_resources(
        arguments.device,
        arguments.cpus_per_trial,
        arguments.gpus_per_trial,
        arguments.max_gpus,
        nodes,
        cpu_threads=plan.info.cpu_threads,
    )
    CacheNeed.of(plan, resources, nodes).require()
    return resources
