"""A search on nodes that come when it begins and go when it is over.

    python benchmarks/autoscaling_search.py FOLDER TRIALS SECONDS NODES

``AutoscalingCluster`` ends every Ray on its machine by name, before and afterwards: run this in a PID namespace of its
own, as ``autoscaling.py`` does, and nowhere else.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
from idle import MEASURED, begin_study
from idle_ours import make_data
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE
from ray.cluster_utils import AutoscalingCluster
from rich.console import Console
from scale_calls import Calls
from scale_nodes import STORE_MEGABYTES
from scale_search import SECONDS, check, make_driver, sleep_and_report

from leukemia.base.files import write_json
from search.cluster import signals
from search.cluster.resources import Resources
from search.cluster.session import ray_session
from search.cluster.tuner import run_trials
from search.trials.display import logging_to

IDLE_MINUTES = 0.1
"""After which a node that nobody uses is let go."""

PATIENCE_SECONDS = 300
"""For the last node to go."""


class Nodes(threading.Thread):
    """Notes when the number of nodes that are alive changes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.changes: list[tuple[float, int]] = []
        """Seconds of the machine's monotonic clock, and nodes beside the head from then on."""

    def run(self) -> None:
        """Four times a second."""
        while not self._over.wait(0.25):
            count = sum(node["Alive"] for node in ray.nodes()) - 1
            if not self.changes or self.changes[-1][1] != count:
                self.changes.append((time.monotonic(), count))

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


class FakeCluster(AutoscalingCluster):
    """Ray's own, with the configuration that it reads from a file which its wheel does not hold."""

    def _generate_config(
        self, head_resources: dict[str, Any], worker_node_types: dict[str, Any], **settings: Any
    ) -> dict[str, Any]:
        head = {"resources": dict(head_resources), "node_config": {}, "max_workers": 0}
        provider = {
            # By its name, fake_multinode, Ray looks for defaults in a file that its wheel does not hold.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            # Of the second autoscaler, which `ray up` starts by default.
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
        }
        commands = (
            "initialization_commands setup_commands head_setup_commands worker_setup_commands "
            "head_start_ray_commands worker_start_ray_commands cluster_synced_files rsync_exclude rsync_filter"
        )
        return {
            "cluster_name": "fake",
            "provider": provider,
            "available_node_types": {**worker_node_types, FAKE_HEAD_NODE_TYPE: head},
            "head_node_type": FAKE_HEAD_NODE_TYPE,
            "upscaling_speed": 1.0,
            "auth": {},
            "docker": {},
            "file_mounts": {},
            "file_mounts_sync_continuously": False,
            **{name: [] for name in commands.split()},
            **{name: value for name, value in settings.items() if name != "autoscaler_v2"},
        }


def measure(folder: Path, num_trials: int, max_nodes: int) -> dict[str, Any]:
    """One search; seconds until the nodes were there, and until the last had gone."""
    catalog, splits, study = begin_study(folder)
    data = make_data(folder, catalog, splits)
    (data.checkpoints / "slept").mkdir(parents=True)
    store = STORE_MEGABYTES * 1024**2
    worker = {"resources": {"CPU": 1, "object_store_memory": store}, "node_config": {}}
    cluster = FakeCluster(
        head_resources={"CPU": 0, "object_store_memory": store},
        worker_node_types={"worker": worker | {"min_workers": 0, "max_workers": max_nodes}},
        idle_timeout_minutes=IDLE_MINUTES,
        max_workers=max_nodes,
        autoscaler_v2=True,
    )
    cluster.start()
    try:
        with ray_session("127.0.0.1:6379"), logging_to(study.folder / "search.log", Console(quiet=True)):
            nodes = Nodes()
            nodes.start()
            time.sleep(1)
            driver = make_driver(Calls(), study, catalog, splits, num_trials)
            start = time.monotonic()
            resources = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=max_nodes)
            run_trials(driver, data, resources, sleep_and_report)
            end = time.monotonic()
            while nodes.changes[-1][1] and time.monotonic() < end + PATIENCE_SECONDS:
                time.sleep(0.25)
            nodes.stop()
    finally:
        cluster.shutdown()
    check(study, num_trials)
    counts = [count for _, count in nodes.changes]
    assert counts[0] == 0, "nodes were there before anyone needed them"
    assert max(counts) <= max_nodes
    assert counts[-1] == 0, f"{counts[-1]} nodes stayed"
    first, most = (next(at for at, count in nodes.changes if count >= least) for least in (1, max(counts)))
    return {
        "trials": num_trials,
        "nodes": max(counts),
        "first_up_seconds": first - start,
        "all_up_seconds": most - start,
        "seconds": end - start,
        "down_seconds": nodes.changes[-1][0] - end,
        "idle_seconds": 60 * IDLE_MINUTES,
    }


if __name__ == "__main__":
    place, trials, nodes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4])
    os.environ[SECONDS] = sys.argv[3]
    # The cluster is begun by the command `ray`.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with signals.listening():
        write_json(place / MEASURED, measure(place, trials, nodes))
