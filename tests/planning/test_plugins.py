"""Plug-ins of a search: recorded, checked before the first trial, and the very same when it is resumed."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.plugins import NETWORK, OPTIMIZER, TEXTS, unknown, written
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.plugins.plugin_file import PluginFile
from leukemia.plugins.registry import load_named
from leukemia.study.folder import Study
from leukemia.study.schema import StudyInfo
from search.launch.arguments import parse, request_of
from search.launch.config_file import config_of
from search.launch.messages import print_plan
from search.launch.study_folder import created
from search.planning.comparison import num_timed
from search.planning.estimate import networks_of
from search.planning.plan import Plan, plan_new
from search.planning.request import Request
from search.planning.resumption import plan_resumed

SMALL = "--folds 2 --study one --set data.size_px=32 --set train.batch_size=8".split()
ALL = "--set model.network=tiny --search optimizer.name=adamw,plain --search augment.swap=0..0.5".split()


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    with unknown():
        yield


@pytest.fixture
def request_for(tmp_path: Path, tiny_folder: Path) -> Callable[..., Request]:
    def make(*words: str, plugins: list[Path] | None = None) -> Request:
        files = written(tmp_path / "own") if plugins is None else plugins
        named = [word for path in files for word in ("--plugin", str(path))]
        return request_of(parse(["--data", str(tiny_folder), "--runs", str(tmp_path / "runs"), *SMALL, *named, *words]))

    return make


def started(request: Request) -> Plan:
    plan = plan_new(request, "python -m search.run")
    with created(plan):
        return plan


def test_a_study_records_its_plugins_and_has_copies(request_for: Callable[..., Request], tmp_path: Path) -> None:
    plan = started(request_for(*ALL))
    folder = tmp_path / "runs" / "one"
    for name, text in TEXTS.items():
        assert (folder / "plugins" / name).read_text() == text
    with unknown():
        info = StudyInfo.read(folder / "study.json")
        assert info.plugins == plan.info.plugins
        assert {name: (each.kind, each.file) for name, each in info.plugins.items()} == {
            "tiny": ("network", "tiny.py"),
            "plain": ("optimizer", "plain.py"),
            "swap": ("augmentation", "swap.py"),
        }
        assert [each.sha256 for each in info.plugins.values()] == [each.sha256 for each in plan.plugins]
        assert info.start["plugin.tiny"] == info.plugins["tiny"].sha256
        # It names no plug-in, and its header says which to name.
        assert "plugins" not in config_of(info)
        assert "--config config.yaml --plugin plugins/tiny.py" in (folder / "config.yaml").read_text().splitlines()[0]


RECIPES = "[{}, {name: own, model.network: tiny, optimizer.name: plain}, {augment.swap: 0.5, model.depth: 50}]"


def test_recipes_with_plugins_are_planned_and_resumed(request_for: Callable[..., Request], tmp_path: Path) -> None:
    plan = started(request_for("--recipes", RECIPES))
    assert [each.describe() for each in plan.recipes] == [
        "ResNet-18 add, color, ranger21 1.0e-03",
        "tiny, color, plain 5.0e-02",
        "ResNet-50 add, color, ranger21 1.0e-03",
    ]
    assert num_timed(plan) == 3
    assert plan.checkpoint_bytes() > 10_000_000, "that of the ResNet"
    output = io.StringIO()
    print_plan(Console(file=output, width=300), plan)
    assert "plug-in: tiny.py (network tiny), SHA-256 " in output.getvalue()
    assert "  trial 0001: own: tiny, plain 5.0e-02" in output.getvalue()
    folder = tmp_path / "runs" / "one"
    with unknown():
        info = StudyInfo.read(folder / "study.json")
        assert (info.recipes, info.plugins) == (plan.info.recipes, plan.info.plugins)
    with unknown(), pytest.raises(UserError, match=r"^--plugin: study one uses 'tiny' of tiny.py .* not named; add"):
        plan_resumed(request_for("--resume", plugins=[]))
    with unknown():
        resumed = plan_resumed(request_for("--resume"))
        assert (resumed.recipes, resumed.space) == (plan.recipes, plan.space)
        assert {file.sha256 for file in resumed.plugins} == {file.sha256 for file in plan.plugins}


def test_a_plugin_that_no_recipe_uses_is_refused(request_for: Callable[..., Request]) -> None:
    with pytest.raises(UserError, match=r"^--plugin swap.py: the search uses nothing of it \(swap\); leave it out"):
        plan_new(request_for("--recipes", "[{model.network: tiny}, {optimizer.name: plain}]"), "")


def test_a_plan_counts_the_networks_of_plugins(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(*ALL), "")
    assert networks_of(plan) == ["tiny"]
    # Two convolutions with BatchNorm, another one, and the head: 466 parameters, and state for an unknown optimizer.
    assert 5 * 4 * 400 < plan.checkpoint_bytes() < 5 * 4 * 600


def test_a_resumed_search_needs_the_very_same_plugins(request_for: Callable[..., Request], tmp_path: Path) -> None:
    plan = started(request_for(*ALL))
    folder = tmp_path / "runs" / "one"
    with unknown(), pytest.raises(UserError, match=r"^--plugin: study one uses 'tiny' of tiny.py .* not named; add"):
        plan_resumed(request_for("--resume", plugins=[]))
    with unknown():
        changed = written(tmp_path / "changed", tiny=NETWORK + "#", plain=OPTIMIZER, swap=TEXTS["swap.py"])
        with pytest.raises(UserError, match=r"^--plugin tiny.py: study one was started with another text of it \(SHA"):
            plan_resumed(request_for("--resume", plugins=changed))
    with unknown():
        more = written(tmp_path / "more", more=NETWORK.replace('"tiny"', '"more"'))
        with pytest.raises(UserError, match=r"^--plugin more.py: study one was started without it; leave it out, or"):
            plan_resumed(request_for("--resume", plugins=[*written(tmp_path / "own"), *more]))
    with unknown():
        resumed = plan_resumed(request_for("--resume", *ALL, plugins=sorted((folder / "plugins").iterdir())))
        assert resumed.info.plugins == plan.info.plugins
        assert resumed.space == plan.space
        assert {file.sha256 for file in resumed.plugins} == {file.sha256 for file in plan.plugins}


def test_an_older_study_has_no_plugins(request_for: Callable[..., Request], tmp_path: Path) -> None:
    started(request_for(plugins=[]))
    folder = tmp_path / "runs" / "one"
    assert "plugin" not in (folder / "study.json").read_text()
    assert not (folder / "plugins").exists()
    assert Study.open(folder).info.plugins == {}
    with pytest.raises(UserError, match=r"^--plugin tiny.py: study one was started without it; leave it out"):
        plan_resumed(request_for("--resume"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", r"^--plugin tiny.py: the search uses nothing of it \(tiny\); leave it out, or use it$"),
        (
            "--set model.network=tiny --set optimizer.name=plain",
            r"^--plugin swap.py: the search uses nothing of it \(swap",
        ),
    ],
)
def test_a_plugin_that_nothing_uses_is_refused(words: str, message: str, request_for: Callable[..., Request]) -> None:
    with pytest.raises(UserError, match=message):
        plan_new(request_for(*words.split()), "")


def test_what_a_plugin_builds_is_checked_first(request_for: Callable[..., Request], tmp_path: Path) -> None:
    wrong = written(tmp_path / "wrong", tiny=NETWORK.replace("nn.Linear(8, num_classes)", "nn.Linear(8, 3)"))
    with pytest.raises(UserError, match=r"^model.network tiny: expected logits of shape"):
        plan_new(request_for("--search", "model.network=resnet,tiny", plugins=wrong), "")
    assert not (tmp_path / "runs").exists()


def test_a_config_file_runs_no_plugin(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    for name in ("plugin", "plugins"):
        path.write_text(f"{name}: [a.py]\n")
        with pytest.raises(UserError, match=rf"^--config .*: unknown option '{name}'; it belongs on the command line$"):
            parse(["--config", str(path)])


def test_a_plugin_is_recorded_by_its_text(tmp_path: Path) -> None:
    (path,) = written(tmp_path, tiny=NETWORK)
    (file,) = load_named([path])
    assert dataclasses.replace(file, name="other.py").sha256 == file.sha256 == PluginFile.read(path).sha256
