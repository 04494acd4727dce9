"""``python -m search.preflight`` with the real ssh: an ssh server of this machine answers as a cluster's would."""

from __future__ import annotations

import getpass
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.local_cluster import ALIVE, BAD_KEYS, DEAD, RAY, cluster, damage_key, problems_of, settle
from helpers.needs import PATH, requires

from leukemia.base.errors import SUCCESS
from search.preflight.__main__ import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder and a home in which all is well."""
    requires("ssh", "ssh-keygen", "rsync")
    settle(tmp_path, monkeypatch, make_key)
    return tmp_path


def make_key(path: Path, passphrase: str = "") -> None:
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)


@pytest.mark.parametrize(("how", "message"), BAD_KEYS)
def test_a_key_that_opens_nothing_is_said_once(how: str, message: str, place: Path) -> None:
    damage_key(place / "key", how, make_key)
    key, machine = problems_of(cluster(DEAD), place)
    assert re.search(f"^auth.ssh_private_key: {place}/{message}", key)
    assert machine.startswith(f"{DEAD}: the machine answers, but no ssh server")


@pytest.fixture
def ssh_server(place: Path) -> Iterator[Path]:
    """An ssh server of this machine, to which ``key`` opens; yields the home that it gives."""
    requires("sshd", "bash", root=True)
    home = place / "far"
    home.mkdir()
    # A login shell sets the path anew; a machine's owner has the last word there.
    (home / ".bashrc").write_text(f"PATH={Path(sys.executable).parent}:/usr/bin:/bin\n")
    for name in ("host", "other"):
        make_key(place / name)
    sshd = str(shutil.which("sshd", path=PATH))
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "ListenAddress": f"{ALIVE}:22",
        "HostKey": place / "host",
        "AuthorizedKeysFile": place / "key.pub",
        "StrictModes": "no",
        "PidFile": "none",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "SetEnv": f"HOME={home}",
    }
    (place / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (place / "sshd.log").open("w") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", place / "sshd_config"], stderr=log)
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection((ALIVE, 22), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, (place / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield home
    server.terminate()
    server.wait()


def test_a_machine_that_can_be_used_is_ready(ssh_server: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "cluster.yaml").write_text(yaml.safe_dump(cluster(ALIVE)))
    assert main(["cluster.yaml"]) == SUCCESS, capsys.readouterr().err
    first, *known, last = capsys.readouterr().out.splitlines()
    assert (first, last) == (f"1 machine, the head is {ALIVE}", "ready: ray up cluster.yaml")
    assert all("no tmux on the head" in words for words in known)


def test_a_wrong_key_is_named_with_its_user(ssh_server: Path, place: Path) -> None:
    (problem,) = problems_of(cluster(ALIVE, ssh_private_key="~/other"), place)
    whom = f"{getpass.getuser()}@{ALIVE}"
    assert problem == (
        f"{ALIVE}: refuses user {getpass.getuser()} with the key {place}/other; correct auth, or let the key in: "
        f"ssh-copy-id -i {place}/other {whom}"
    )


def test_another_ray_on_a_machine_is_named_with_ours(ssh_server: Path, place: Path) -> None:
    other = ssh_server / "other" / "ray-2.1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ray\nVersion: 2.1.0\n")
    python = ssh_server / "leukemia-search" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={other.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    dead, ray = sorted(problems_of(cluster(ALIVE, DEAD), place), key=lambda words: ALIVE in words)
    assert dead.startswith(f"{DEAD}: the machine answers, but no ssh server")
    assert ray.startswith(f"{ALIVE}: Ray 2.1.0 there, {RAY} here; make them one")


def test_another_key_in_an_agent_is_not_the_one_that_ray_takes(
    ssh_server: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requires("ssh-agent", "ssh-add")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place / "agent"], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place / "agent"))
        deadline = time.monotonic() + 120
        while subprocess.run(["ssh-add", "-q", place / "key"], stderr=subprocess.DEVNULL).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # The public half of the agent's key beside it would make ssh ask the agent.
        shutil.copy(place / "key.pub", place / "other.pub")
        (problem,) = problems_of(cluster(ALIVE, ssh_private_key="~/other"), place)
        assert f"{ALIVE}: refuses user" in problem
    finally:
        agent.terminate()
        agent.wait()


def other_python(home: Path, patch: str) -> None:
    """Let a machine's interactive shells find a python3 to which ``patch`` was done."""
    place = home / "bin"
    place.mkdir()
    (place / "sitecustomize.py").write_text(patch)
    (place / "python3").write_text(f'#!/bin/sh\nPYTHONPATH={place} exec {sys.executable} "$@"\n')
    (place / "python3").chmod(0o755)
    (home / ".bashrc").write_text(f"case $- in *i*) ;; *) return ;; esac\nPATH={place}:/usr/bin:/bin\n")
    (home / ".profile").write_text("")


def test_a_machine_is_asked_in_the_shell_that_ray_uses(ssh_server: Path, place: Path) -> None:
    other_python(ssh_server, "import platform\nplatform.python_version = lambda: '3.9.7'\n")
    assert problems_of(cluster(ALIVE), place) == [f"{ALIVE}: Python 3.9.7 there, 3.11 or newer is needed"]


def test_what_a_shell_prints_is_no_answer(ssh_server: Path, place: Path) -> None:
    bashrc = ssh_server / ".bashrc"
    bashrc.write_text(bashrc.read_text() + "echo python rules; printf '\\377 python 2.7'; echo hello >&2\n")
    assert problems_of(cluster(ALIVE), place) == []
    bashrc.write_text("case $- in *i*) PATH=/nowhere ;; esac; echo python rules; echo rsync yes\n")
    rsync, python = problems_of(cluster(ALIVE), place)
    assert rsync.startswith(f"{ALIVE}: no rsync there")
    assert python.startswith(f"{ALIVE}: no python3 there")
    bashrc.write_text("echo goodbye; exit 3\n")
    (problem,) = problems_of(cluster(ALIVE), place)
    assert problem.startswith(
        f"{ALIVE}: the shell ended before it answered, with status 3 (goodbye); `ray up` needs bash"
    )


def test_a_file_in_the_way_and_a_python_that_makes_no_environment(ssh_server: Path, place: Path) -> None:
    other_python(ssh_server, "import sys\nsys.modules['ensurepip'] = None\n")
    (ssh_server / "leukemia-search").write_text("")
    config = cluster(ALIVE)
    assert problems_of(config, place) == []  # This file puts nothing there and makes no environment.
    config["file_mounts"]["~/leukemia-search/constraints.txt"] = "constraints.txt"
    config["setup_commands"] = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())["setup_commands"]
    assert problems_of(config, place) == [
        f"{ALIVE}: ~/leukemia-search is a file there, and the project needs a folder of that name; move the file away",
        f"{ALIVE}: its python3 cannot make an environment (venv, ensurepip); apt-get install python3-venv there",
    ]
    (ssh_server / "leukemia-search").unlink()
    shutil.copytree(ssh_server / "bin", ssh_server / "leukemia-search" / ".venv" / "bin")
    (ssh_server / "leukemia-search" / ".venv" / "bin" / "python3").rename(
        ssh_server / "leukemia-search" / ".venv" / "bin" / "python"
    )
    assert problems_of(config, place) == []
