"""``cluster.onprem.yaml``: Ray accepts it, and it keeps its promises. ``tests/cluster`` runs it whole."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.needs import PATH, requires
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
FILE = ROOT / "cluster.onprem.yaml"
TOKEN = "~/.ray/auth_token"


@pytest.fixture
def config() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def starts(config: dict[str, Any]) -> list[str]:
    """The commands that start Ray: the head's and the workers'."""
    return [config[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]


def test_ray_accepts_it(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    prepared = prepare_config(config)
    validate_config(prepared)
    assert prepared["max_workers"] == len(config["provider"]["worker_ips"])


def test_ray_refuses_a_word_that_it_does_not_know(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(config | {"max_worker": 3}))


def test_the_token_travels_as_a_file_and_every_ray_asks_for_it(config: dict[str, Any]) -> None:
    assert config["file_mounts"][TOKEN] == TOKEN
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts(config))
    assert "RAY_AUTH_TOKEN" not in FILE.read_text(encoding="utf-8"), "a token in the file would be in Ray's logs"


def test_the_dashboard_listens_on_loopback_and_nothing_is_told_to_rays_makers(config: dict[str, Any]) -> None:
    head, _ = starts(config)
    assert "--dashboard-host=127.0.0.1" in head
    assert "--disable-usage-stats" in head


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the project's history")
def test_all_of_the_project_is_sent(config: dict[str, Any]) -> None:
    """Were a file left out, results would be of a commit `+changes`."""
    sent = {local for remote, local in config["file_mounts"].items() if remote != TOKEN}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sent >= {".git", *(name.split("/")[0] for name in listed.splitlines())}
    assert all((ROOT / name).exists() for name in sent)


PYTHON = """#!/bin/sh
case "$1" in -m) echo "$*" >> ~/asked ;; esac
case "$2" in
    venv) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    pip) test ! -e ~/offline ;;
    import*) cat ~/ray ;;
esac
"""
"""In the place of Python on a machine: says what it was asked, and makes environments of itself."""


class Home:
    """A home on a machine, with the project in it, before the setup commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "leukemia-search"
        self.project.mkdir()
        self.has_ray("1")
        self.pin("ray==1")
        (folder / "tools").mkdir()
        (folder / "tools" / "python3").write_text(PYTHON)
        (folder / "tools" / "python3").chmod(0o755)

    def pin(self, words: str) -> None:
        (self.project / "constraints.txt").write_text(words)

    def has_ray(self, number: str) -> None:
        """The version that its environments hold."""
        (self.folder / "ray").write_text(number)

    def set_up(self, config: dict[str, Any]) -> bool:
        """Whether all commands succeeded, each in a shell of its own, as Ray runs them; ``said`` is the last one's."""
        environment = {"HOME": str(self.folder), "PATH": f"{self.folder}/tools:{PATH}"}
        for command in config["setup_commands"]:
            ended = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
            self.said = ended.stderr
            if ended.returncode:
                return False
        return True

    def asked(self) -> list[str]:
        """What Python was asked since last time."""
        file = self.folder / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The setup commands run in the shell and with the tools that a machine has."""
    requires("bash", "cmp", "grep", "hostname", "sed")
    return Home(tmp_path)


INSTALLED = [
    "-m venv .venv",
    "-m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[aws]",
]


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_when_pins_change(config: dict[str, Any], home: Home) -> None:
    assert home.set_up(config)
    assert home.asked() == INSTALLED
    assert home.set_up(config)
    assert home.asked() == []
    home.pin("ray==2")
    home.has_ray("2")
    assert home.set_up(config)
    assert home.asked() == INSTALLED


@pytest.mark.slow
def test_an_environment_that_is_prepared_is_taken_as_it_is(config: dict[str, Any], home: Home) -> None:
    prepared = home.folder / "prepared"
    (prepared / "bin").mkdir(parents=True)
    shutil.copy(home.folder / "tools" / "python3", prepared / "bin" / "python")
    (prepared / "constraints.txt").write_text("ray==1")
    (home.project / ".venv").symlink_to(prepared)
    assert home.set_up(config)
    assert home.asked() == []


@pytest.mark.slow
def test_a_failed_installation_fails_and_is_tried_again(config: dict[str, Any], home: Home) -> None:
    (home.folder / "offline").touch()
    assert not home.set_up(config)
    (home.folder / "offline").unlink()
    home.asked()
    assert home.set_up(config)
    assert home.asked() == INSTALLED


@pytest.mark.slow
def test_another_ray_is_named(config: dict[str, Any], home: Home) -> None:
    home.has_ray("9")
    assert not home.set_up(config)
    assert home.said.startswith("error: Ray 9 on ")
    assert ", constraints.txt asks for 1; rm -r ~/leukemia-search/.venv there and ray up again" in home.said


@pytest.mark.slow
def test_login_shells_find_ray_and_the_token(config: dict[str, Any], home: Home) -> None:
    for _ in range(2):
        assert home.set_up(config)
    environment = {"HOME": str(home.folder), "PATH": PATH}
    shown = subprocess.run(
        ["bash", "-c", "source ~/.bashrc; echo $RAY_AUTH_MODE; command -v python"],
        env=environment,
        capture_output=True,
        text=True,
    ).stdout
    assert shown == f"token\n{home.project}/.venv/bin/python\n"
    assert (home.folder / ".bashrc").read_text().count("leukemia-search") == 1
