"""Imports point one way, and each heavy library stays in its room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = """
leukemia leukemia.mistakes leukemia.files leukemia.sections leukemia.fields leukemia.config leukemia.presets
leukemia.bootstrap leukemia.metrics leukemia.jackknife leukemia.selection leukemia.plots leukemia.page
leukemia.sources leukemia.listing leukemia.cnmc leukemia.layouts leukemia.pixels leukemia.hashes leukemia.groups
leukemia.catalog leukemia.cell leukemia.sample leukemia.place leukemia.folds
leukemia.augment leukemia.images leukemia.device leukemia.model leukemia.optim leukemia.predict
leukemia.train leukemia.crossval
leukemia.provenance leukemia.records leukemia.study leukemia.best leukemia.training_data leukemia.ledger
leukemia.client leukemia.account leukemia.trial_run leukemia.study_run leukemia.final_run
leukemia.sweep leukemia.publish leukemia.tracking
leukemia.winner leukemia.report leukemia.delivery leukemia.final leukemia.leakcheck
search search.signals search.space search.hindsight search.cluster search.nodes search.resources
search.spending search.judge search.race search.journal_file search.searcher search.evidence search.listeners
search.health search.effort search.packing search.backlog search.fleet search.history
search.driver search.display search.outcome search.address search.storage search.probe search.lease search.checkpoints
search.trainable search.warmstart search.request search.plan search.resumption
search.leftovers search.retrieval search.mirror search.custody
search.arguments search.needs search.shortage search.tuner
search.finding search.machines search.aws search.login search.hosts search.ssh_key search.mounts search.preflight
search.run
""".split()
"""Every module, from the ground up: each imports only from those before it."""

ROOMS = {
    "albumentations": {"leukemia.augment"},
    "boto3": {"search.aws"},
    "matplotlib": {"leukemia.plots"},
    "optuna": {"search.journal_file", "search.searcher"},
    "pyarrow": {"search.storage"},
    "ranger21": {"leukemia.optim"},
    "ray": {
        *("search.preflight", "search.cluster", "search.fleet", "search.nodes", "search.resources", "search.searcher"),
        *("search.shortage", "search.trainable", "search.tuner"),
    },
    "sklearn": {"leukemia.folds"},
    "ttach": {"leukemia.predict"},
    "psutil": {"leukemia.client"},
    "wandb": {"leukemia.client"},
}
"""Where a library may be imported: nothing else need change when it does."""


def modules() -> dict[str, Path]:
    files = [path for package in ("leukemia", "search") for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports_of(source: str) -> set[str]:
    """Names of all modules that may be imported, also inside of functions; of ``from a import b`` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a search for a name finds them"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {name: imports_of(path.read_text(encoding="utf-8")) for name, path in modules().items()}


def test_every_module_has_its_floor() -> None:
    assert sorted(FLOORS) == sorted(IMPORTS)
    assert len(set(FLOORS)) == len(FLOORS)


@pytest.mark.parametrize("name", FLOORS)
def test_imports_point_down(name: str) -> None:
    below = FLOORS[: FLOORS.index(name)]
    above = IMPORTS[name] & set(FLOORS) - set(below)
    assert not above, f"{name} imports {sorted(above)}, which lies above it"


@pytest.mark.parametrize("library", ROOMS)
def test_heavy_library_stays_in_its_room(library: str) -> None:
    users = {name for name, found in IMPORTS.items() if library in {module.split(".")[0] for module in found}}
    assert users == ROOMS[library]


def test_imports_are_read_from_everywhere() -> None:
    source = "import a.b\nfrom c import d\ndef f():\n    import e\nif True:\n    from g.h import i as j\n"
    assert imports_of(source) == {"a.b", "c", "c.d", "e", "g.h", "g.h.i"}


def test_the_winner_is_retrained_without_ray_and_optuna() -> None:
    code = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "optuna", "search", "wandb"):
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Absent())
import leukemia.final, leukemia.predict, leukemia.report
try:
    import optuna
except ModuleNotFoundError:
    print("without")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout == "without\n", ended.stderr
