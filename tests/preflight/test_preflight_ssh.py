"""``python -m search.preflight`` with the real ssh, and an ssh server on this machine."""

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
from helpers.local_cluster import ALIVE, BAD_KEYS, DEAD, RAY, cluster, damage_key, problems_of, set_up_project
from helpers.needs import PATH, requires

from leukemia.base.errors import SUCCESS
from search.preflight.__main__ import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder and home without any problem."""
    requires("ssh", "ssh-keygen", "rsync")
    set_up_project(tmp_path, monkeypatch, make_key)
    return tmp_path


def make_key(path: Path, passphrase: str = "") -> None:
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)


@pytest.mark.parametrize(("how", "message"), BAD_KEYS)
def test_an_unusable_key_is_reported_once(how: str, message: str, project: Path) -> None:
    damage_key(project / "key", how, make_key)
    key, machine = problems_of(cluster(DEAD), project)
    assert re.search(f"^auth.ssh_private_key: {project}/{message}", key)
    assert machine.startswith(f"{DEAD}: the machine is up, but no ssh server")


@pytest.fixture
def ssh_server(project: Path) -> Iterator[Path]:
    """An ssh server on this machine that accepts ``key``; yields the home directory of its sessions."""
    requires("sshd", "bash", root=True)
    home = project / "far"
    home.mkdir()
    # A login shell resets the path; ~/.bashrc sets the final one.
    (home / ".bashrc").write_text(f"PATH={Path(sys.executable).parent}:/usr/bin:/bin\n")
    for name in ("host", "other"):
        make_key(project / name)
    sshd = str(shutil.which("sshd", path=PATH))
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "ListenAddress": f"{ALIVE}:22",
        "HostKey": project / "host",
        "AuthorizedKeysFile": project / "key.pub",
        "StrictModes": "no",
        "PidFile": "none",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "SetEnv": f"HOME={home}",
    }
    (project / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (project / "sshd.log").open("w") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", project / "sshd_config"], stderr=log)
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection((ALIVE, 22), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, (project / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield home
    server.terminate()
    server.wait()


def test_a_usable_machine_is_ready(ssh_server: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "cluster.yaml").write_text(yaml.safe_dump(cluster(ALIVE)))
    assert main(["cluster.yaml"]) == SUCCESS, capsys.readouterr().err
    first, *notes, last = capsys.readouterr().out.splitlines()
    assert (first, last) == (f"1 machine, the head is {ALIVE}", "ready: ray up cluster.yaml")
    assert all("no tmux on the head" in note for note in notes)


def test_a_wrong_key_is_named_with_its_user(ssh_server: Path, project: Path) -> None:
    (problem,) = problems_of(cluster(ALIVE, ssh_private_key="~/other"), project)
    login = f"{getpass.getuser()}@{ALIVE}"
    assert problem == (
        f"{ALIVE}: rejects user {getpass.getuser()} with key {project}/other; correct auth, or authorize the key: "
        f"ssh-copy-id -i {project}/other {login}"
    )


def test_another_ray_version_on_a_machine_is_named_with_the_local_one(ssh_server: Path, project: Path) -> None:
    other = ssh_server / "other" / "ray-2.1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ray\nVersion: 2.1.0\n")
    python = ssh_server / "leukemia-search" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={other.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    dead, ray = sorted(problems_of(cluster(ALIVE, DEAD), project), key=lambda problem: ALIVE in problem)
    assert dead.startswith(f"{DEAD}: the machine is up, but no ssh server")
    assert ray.startswith(f"{ALIVE}: Ray 2.1.0 there, {RAY} here, but all machines need the same")


def test_keys_in_an_agent_are_ignored(ssh_server: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires("ssh-agent", "ssh-add")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", project / "agent"], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(project / "agent"))
        deadline = time.monotonic() + 120
        while subprocess.run(["ssh-add", "-q", project / "key"], stderr=subprocess.DEVNULL).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # With the public key of the agent's key next to it, ssh would ask the agent.
        shutil.copy(project / "key.pub", project / "other.pub")
        (problem,) = problems_of(cluster(ALIVE, ssh_private_key="~/other"), project)
        assert f"{ALIVE}: rejects user" in problem
    finally:
        agent.terminate()
        agent.wait()


def other_python(home: Path, patch: str) -> None:
    """Let a machine's interactive shells find a python3 patched by ``patch``."""
    folder = home / "bin"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(patch)
    (folder / "python3").write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    (folder / "python3").chmod(0o755)
    (home / ".bashrc").write_text(f"case $- in *i*) ;; *) return ;; esac\nPATH={folder}:/usr/bin:/bin\n")
    (home / ".profile").write_text("")


def test_a_machine_is_probed_in_the_shell_that_ray_uses(ssh_server: Path, project: Path) -> None:
    other_python(ssh_server, "import platform\nplatform.python_version = lambda: '3.9.7'\n")
    assert problems_of(cluster(ALIVE), project) == [f"{ALIVE}: Python 3.9.7, but 3.11 or newer is needed"]


def test_other_output_of_a_shell_is_ignored(ssh_server: Path, project: Path) -> None:
    bashrc = ssh_server / ".bashrc"
    bashrc.write_text(bashrc.read_text() + "echo python rules; printf '\\377 python 2.7'; echo hello >&2\n")
    assert problems_of(cluster(ALIVE), project) == []
    bashrc.write_text("case $- in *i*) PATH=/nowhere ;; esac; echo python rules; echo rsync yes\n")
    rsync, python = problems_of(cluster(ALIVE), project)
    assert rsync.startswith(f"{ALIVE}: no rsync, which Ray needs")
    assert python.startswith(f"{ALIVE}: no python3; ")
    bashrc.write_text("echo goodbye; exit 3\n")
    (problem,) = problems_of(cluster(ALIVE), project)
    assert problem.startswith(
        f"{ALIVE}: the shell exited with status 3 before running the probe (goodbye); `ray up` needs bash"
    )


def test_a_file_instead_of_the_project_and_a_python_without_venv(ssh_server: Path, project: Path) -> None:
    other_python(ssh_server, "import sys\nsys.modules['ensurepip'] = None\n")
    (ssh_server / "leukemia-search").write_text("")
    config = cluster(ALIVE)
    assert problems_of(config, project) == []  # This cluster file copies nothing there and creates no environment.
    config["file_mounts"]["~/leukemia-search/constraints.txt"] = "constraints.txt"
    config["setup_commands"] = yaml.safe_load((ROOT / "cluster.onprem.yaml").read_text())["setup_commands"]
    assert problems_of(config, project) == [
        f"{ALIVE}: ~/leukemia-search is a file, but the project needs a folder of that name; move the file away",
        f"{ALIVE}: its python3 cannot create an environment (venv, ensurepip); apt-get install python3-venv there",
    ]
    (ssh_server / "leukemia-search").unlink()
    shutil.copytree(ssh_server / "bin", ssh_server / "leukemia-search" / ".venv" / "bin")
    (ssh_server / "leukemia-search" / ".venv" / "bin" / "python3").rename(
        ssh_server / "leukemia-search" / ".venv" / "bin" / "python"
    )
    assert problems_of(config, project) == []
