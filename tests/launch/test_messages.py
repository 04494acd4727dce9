"""What is said of a search on a cluster without a storage."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leukemia.base.files import cache_dir
from search.cluster import nodes
from search.cluster.nodes import Node, Nodes
from search.launch.messages import describe_storage
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
