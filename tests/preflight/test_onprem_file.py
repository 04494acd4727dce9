"""``cluster.onprem.yaml``: Ray accepts it, and it has the documented properties. ``tests/machines`` runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.needs import PATH, requires
from ray.autoscaler._private.util import prepare_config, validate_config

from leukemia.base.cpus import available_cpus

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


def test_ray_rejects_an_unknown_field(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(config | {"max_worker": 3}))


def test_the_token_is_copied_as_a_file_and_every_ray_requires_it(config: dict[str, Any]) -> None:
    assert config["file_mounts"][TOKEN] == TOKEN
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts(config))
    assert "RAY_AUTH_TOKEN" not in FILE.read_text(encoding="utf-8"), "a token in the file would be in Ray's logs"


def test_the_dashboard_listens_on_loopback_and_usage_stats_are_disabled(config: dict[str, Any]) -> None:
    head, _ = starts(config)
    assert "--dashboard-host=127.0.0.1" in head
    assert "--disable-usage-stats" in head


def test_ray_gets_the_cpus_that_each_machine_may_use(config: dict[str, Any], tmp_path: Path) -> None:
    """Also a machine where this user may use only some of them."""
    (tmp_path / "leukemia-search").symlink_to(ROOT)
    (tmp_path / "ray").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "ray").chmod(0o700)
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{PATH}"}
    for command in starts(config):
        shown = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
        assert shown.stdout.split()[-1] == f"--num-cpus={available_cpus()}"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the project's history")
def test_the_whole_project_is_copied(config: dict[str, Any]) -> None:
    """With a file missing, results would record a commit with `+changes`."""
    copied = {local for remote, local in config["file_mounts"].items() if remote != TOKEN}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert copied >= {".git", *(name.split("/")[0] for name in listed.splitlines())}
    assert all((ROOT / name).exists() for name in copied)


PYTHON = """#!/bin/sh
case "$1" in -m) echo "$*" >> ~/calls ;; esac
case "$2" in
    venv) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    pip) test ! -e ~/offline ;;
    import*) cat ~/ray ;;
esac
"""
"""Replaces Python on a machine: logs its calls, and creates environments with copies of itself."""


class Home:
    """A home directory on a machine, with the project, before the setup commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "leukemia-search"
        self.project.mkdir()
        self.has_ray("1")
        self.pin("ray==1")
        (folder / "tools").mkdir()
        (folder / "tools" / "python3").write_text(PYTHON)
        (folder / "tools" / "python3").chmod(0o755)

    def pin(self, text: str) -> None:
        (self.project / "constraints.txt").write_text(text)

    def has_ray(self, number: str) -> None:
        """Set the version in its environments."""
        (self.folder / "ray").write_text(number)

    def set_up(self, config: dict[str, Any]) -> bool:
        """Whether all commands succeeded, each in its own shell, as run by Ray; sets ``stderr`` to the last one's."""
        environment = {"HOME": str(self.folder), "PATH": f"{self.folder}/tools:{PATH}"}
        for command in config["setup_commands"]:
            ended = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
            self.stderr = ended.stderr
            if ended.returncode:
                return False
        return True

    def calls(self) -> list[str]:
        """The calls of Python since the last time."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Runs the setup commands with the shell and tools of this machine."""
    requires("bash", "cmp", "grep", "hostname", "sed")
    return Home(tmp_path)


INSTALLED = [
    "-m venv .venv",
    "-m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[aws]",
]


@pytest.mark.slow
def test_an_environment_is_created_once_and_again_when_pins_change(config: dict[str, Any], home: Home) -> None:
    assert home.set_up(config)
    assert home.calls() == INSTALLED
    assert home.set_up(config)
    assert home.calls() == []
    home.pin("ray==2")
    home.has_ray("2")
    assert home.set_up(config)
    assert home.calls() == INSTALLED


@pytest.mark.slow
def test_a_prepared_environment_is_used_unchanged(config: dict[str, Any], home: Home) -> None:
    prepared = home.folder / "prepared"
    (prepared / "bin").mkdir(parents=True)
    shutil.copy(home.folder / "tools" / "python3", prepared / "bin" / "python")
    (prepared / "constraints.txt").write_text("ray==1")
    (home.project / ".venv").symlink_to(prepared)
    assert home.set_up(config)
    assert home.calls() == []


@pytest.mark.slow
def test_a_failed_installation_is_an_error_and_retried(config: dict[str, Any], home: Home) -> None:
    (home.folder / "offline").touch()
    assert not home.set_up(config)
    (home.folder / "offline").unlink()
    home.calls()
    assert home.set_up(config)
    assert home.calls() == INSTALLED


@pytest.mark.slow
def test_another_ray_version_is_named(config: dict[str, Any], home: Home) -> None:
    home.has_ray("9")
    assert not home.set_up(config)
    assert home.stderr.startswith("error: Ray 9 on ")
    assert ", constraints.txt asks for 1; rm -r ~/leukemia-search/.venv there and ray up again" in home.stderr


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
