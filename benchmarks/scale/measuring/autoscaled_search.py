"""A search on nodes that Ray's autoscaler starts and stops.

    python -m benchmarks.scale.measuring.autoscaled_search FOLDER TRIALS SECONDS NODES

``AutoscalingCluster`` kills every Ray process on its machine by name, before and afterwards: run this only in a PID
namespace of its own, as ``benchmarks.scale.autoscaling`` does.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE
from ray.cluster_utils import AutoscalingCluster
from rich.console import Console

from benchmarks.idle.driver import make_data, make_driver
from benchmarks.idle.process import MEASURED
from benchmarks.idle.study import create_study
from benchmarks.scale.measuring.nodes import STORE_MEGABYTES
from benchmarks.scale.measuring.sleeping_search import SECONDS, check, sleep_and_report
from leukemia.base import interrupts
from leukemia.base.files import write_json
from leukemia.tracking.tracker import NoTracker
from search.cluster.resources import Resources
from search.cluster.session import ray_session
from search.cluster.tuner import run_trials
from search.trials.study_log import study_log

IDLE_MINUTES = 0.1
"""Idle time after which a node is stopped."""

PATIENCE_SECONDS = 300
"""How long to wait for the last node to stop."""


class NodeCounter(threading.Thread):
    """Records when the number of live nodes changes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.changes: list[tuple[float, int]] = []
        """Monotonic time in seconds, and the number of nodes besides the head from then on."""

    def run(self) -> None:
        """Count four times a second."""
        while not self._over.wait(0.25):
            count = sum(node["Alive"] for node in ray.nodes()) - 1
            if not self.changes or self.changes[-1][1] != count:
                self.changes.append((time.monotonic(), count))

    def stop(self) -> None:
        """Stop counting and join the thread."""
        self._over.set()
        self.join()


class FakeCluster(AutoscalingCluster):
    """Ray's own cluster, with the configuration that it would read from a file missing in its wheel."""

    def _generate_config(
        self, head_resources: dict[str, Any], worker_node_types: dict[str, Any], **settings: Any
    ) -> dict[str, Any]:
        head = {"resources": dict(head_resources), "node_config": {}, "max_workers": 0}
        provider = {
            # With the name "fake_multinode", Ray reads defaults from a file that is missing in its wheel.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            # Required by the v2 autoscaler, which `ray up` uses by default.
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
    """Run one search; returns the seconds until nodes were up, and until the last had stopped."""
    catalog, splits, study = create_study(folder, "python -m benchmarks.scale.autoscaling")
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
        with ray_session("127.0.0.1:6379"), study_log(study.folder, Console(quiet=True)):
            nodes = NodeCounter()
            nodes.start()
            time.sleep(1)
            driver = make_driver(study, catalog, splits, NoTracker(), num_trials)
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
    assert counts[0] == 0, "nodes were up before the search started"
    assert max(counts) <= max_nodes
    assert counts[-1] == 0, f"{counts[-1]} nodes were not stopped"
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
    # AutoscalingCluster runs the command `ray`.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with interrupts.handled():
        write_json(place / MEASURED, measure(place, trials, nodes))
