"""What is said of a search on a cluster without a storage, or with little memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from leukemia.base.files import cache_dir
from search.cluster import nodes
from search.cluster.nodes import Node, Nodes
from search.launch.messages import describe_storage, describe_store
from search.storage.mirror import NoMirror
from search.trials.commands import RESUME


def test_a_cluster_without_a_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Any = SimpleNamespace(folder=Path("runs/first"))
    monkeypatch.setattr(nodes, "current_nodes", lambda: Nodes(now=(Node(cpus=8, gpus=1), Node(cpus=8, gpus=1))))
    monkeypatch.delenv(RESUME, raising=False)
    assert "if this machine is lost, so is the study" in describe_storage(plan, NoMirror(), resume=False)
    monkeypatch.setenv(RESUME, "sbatch cluster.slurm --resume --study first")
    assert describe_storage(plan, NoMirror(), resume=False) == (
        f"storage: none; the study is in runs/first, its checkpoints are in {cache_dir()}: if all nodes see both, "
        "trials resume from their checkpoints after a node has failed"
    )


def test_nodes_with_too_little_memory_for_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def node(address: str, store: float, *, alive: bool = True) -> dict[str, Any]:
        return {"NodeManagerAddress": address, "Alive": alive, "Resources": {"object_store_memory": store}}

    plan: Any = SimpleNamespace(image_bytes=lambda: 1_600_000_000)
    found = [node("10.0.0.1", 9e9), node("10.0.0.2", 1.2e9), node("10.0.0.3", 0.1e9, alive=False)]
    monkeypatch.setattr(ray, "nodes", lambda: found)
    assert describe_store(plan, own=False).startswith(
        "warning: the decoded images take 1.60 GB, and Ray's object store on 10.0.0.2 has 1.20 GB: there they will be "
    )
    found[1]["Resources"]["object_store_memory"] = 1.6e9
    assert describe_store(plan, own=False) == ""
    monkeypatch.setattr(ray, "nodes", lambda: pytest.fail("our own Ray is not asked"))
    assert describe_store(plan, own=True) == ""
