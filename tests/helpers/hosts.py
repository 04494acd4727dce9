"""Machines made of Linux namespaces: each with its own network, processes, home, /tmp and name, and an ssh server.

Files and processors they share with this machine. The kernel takes them away when their first process ends, and that
ends with the process that made them, also when it is killed: then one folder is left, and the next to make machines
removes it. Nothing of this machine's own network, homes or Ray is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers.needs import PATH, lacking, skip_for

ROOT = Path(__file__).resolve().parent.parent.parent

TOOLS = ("sshd", "ssh", "ssh-keygen", "rsync", "ip", "tmux", "unshare", "nsenter", "setpriv", "ps", "pgrep", "bash")

USER = "lab"
"""A second name of root, with a home of its own."""

SUBNET = "10.77.0"
"""Of the machines' own network. It exists in their namespaces only and meets no other."""

PLACE, PREFIX = Path("/var/tmp"), "leukemia-cluster-"
"""Where their folder lies: not in /tmp, of which every machine has its own."""

INIT = """
set -e
mount --bind "$FOLDER/home" "$HOME_PLACE"
for path in $KEPT; do
    mkdir -p "$FOLDER$path"
    mount --rbind "$path" "$FOLDER$path"
done
mount --rbind "$FOLDER/tmp" /tmp
mount --bind "$FOLDER/passwd" /etc/passwd
mount --bind "$HOSTS" /etc/hosts
mount --bind /dev/null /etc/resolv.conf
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
hostname "$NAME"
ip link set lo up
touch "$FOLDER/ready"
$SERVE &
# The first process: it reaps what others leave behind.
while :; do wait -n || sleep 0.2; done
"""


PROBE = "mount -t tmpfs tmpfs /mnt && ip link add lan type bridge && ip link add name cable type veth peer name plug"


def skip_without_machines() -> None:
    """Skip the test where machines cannot be made."""
    skip_for(lacking(*TOOLS, root=True))
    command = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "sh", "-c", PROBE]
    if subprocess.run(command, env={"PATH": PATH}, capture_output=True).returncode:
        skip_for("needs leave to make namespaces, as root of a container has none")


def wait_until(happened: Callable[[], object], seconds: float, what: str) -> None:
    """Raises TimeoutError: it did not happen in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


class Machine:
    """One machine; it lives as long as its first process."""

    def __init__(self, lab: Path, name: str, address: str, *, serves: bool) -> None:
        self.name, self.address, self.folder, self._lab = name, address, lab / name, lab
        self.home = self.folder / "home"
        """Its home as seen from outside."""
        self._furnish(serves=serves)
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"),
                *("--kill-child", "--mount-proc", "bash", "-c", INIT),
            ],
            env={
                "PATH": PATH,
                "FOLDER": str(self.folder),
                "HOME_PLACE": str(lab / "home"),
                "HOSTS": str(lab / "hosts"),
                "NAME": name,
                "KEPT": " ".join(path for path in _needed_places() if path.startswith("/tmp/")),
                "SERVE": f"{shutil.which('sshd', path=PATH)} -D -e -f {self.folder}/sshd_config"
                if serves
                else "sleep infinity",
            },
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "log").open("w"),
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until((self.folder / "ready").exists, 120, f"machine {name} to start, see {self.folder}/log")
            self.pid = _child_of(self._process.pid)
        except BaseException:
            self.kill()
            raise

    def _furnish(self, *, serves: bool) -> None:
        self.home.mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        (self.folder / "tmp").chmod(0o1777)
        user = f"{USER}:x:0:0::{self._lab}/home:/bin/bash\n"
        # First, or whoever asks for the home of user 0, as ssh does, hears of root's.
        (self.folder / "passwd").write_text(user + Path("/etc/passwd").read_text())
        if serves:
            make_key(self.folder / "host_key")
            (self.folder / "sshd_config").write_text(
                f"HostKey {self.folder}/host_key\nAuthorizedKeysFile {self._lab}/key.pub\nStrictModes no\n"
                "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nPidFile none\n"
            )

    def command(self, *words: str, folder: Path | str = "/", **settings: str) -> list[str]:
        """Words that run a command on this machine, in an environment of its own."""
        own = {"HOME": f"{self._lab}/home", "USER": USER, "PATH": PATH, "LANG": "C.UTF-8", "TERM": "dumb"}
        environment = [f"{name}={value}" for name, value in (own | settings).items()]
        return [
            *("nsenter", f"--target={self.pid}", "--net", "--mount", "--uts", "--ipc", "--pid"),
            *("env", "-i", *environment, "bash", "-c", 'cd "$0" && exec "$@"', str(folder), *words),
        ]

    def processes(self) -> list[str]:
        """What runs on it, besides its ssh server and shells."""
        command = self.command("ps", "-e", "-o", "args=")
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return [line for line in lines if not line.startswith(("bash", "sshd", "sleep", "tmux", "ps -e"))]

    def kill(self) -> None:
        """End it as a power failure does: all of its processes at once, without a word to anybody."""
        self._process.kill()
        self._process.wait()


class Lab:
    """A machine of one's own, the laptop, and others with ssh servers on the same network."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder, self.key = folder, folder / "key"
        (folder / "home").mkdir()
        make_key(self.key)
        addresses = {name: f"{SUBNET}.{number}" for number, name in enumerate(names, start=10)}
        lines = [f"{address} {name}" for name, address in addresses.items()]
        (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", f"{SUBNET}.1 laptop", *lines]) + "\n")
        self.laptop = Machine(folder, "laptop", f"{SUBNET}.1", serves=False)
        self.machines: dict[str, Machine] = {}
        try:
            self._link("add", "lan", "type", "bridge")
            self._ip("address", "add", f"{self.laptop.address}/24", "dev", "lan")
            self._link("set", "lan", "up")
            self._ip("route", "add", "default", "dev", "lan")
            for name, address in addresses.items():
                self.machines[name] = Machine(folder, name, address, serves=True)
                self._plug_in(self.machines[name])
        except BaseException:
            self.remove()
            raise

    def _plug_in(self, machine: Machine) -> None:
        # The name of the other end's namespace is a process number as seen from outside.
        self._link("add", machine.name, "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid))
        self._link("set", machine.name, "master", "lan", "up")
        for words in (
            ("address", "add", f"{machine.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "dev", "eth0"),
        ):
            _run("nsenter", f"--target={machine.pid}", "--net", "ip", *words)

    def cut_off(self, name: str) -> None:
        """Pull out its network cable."""
        self._link("set", name, "down")

    def reconnect(self, name: str) -> None:
        self._link("set", name, "up")

    def _link(self, *words: str) -> None:
        self._ip("link", *words)

    def _ip(self, *words: str) -> None:
        _run("nsenter", f"--target={self.laptop.pid}", "--net", "ip", *words)

    def remove(self) -> None:
        for machine in (*self.machines.values(), self.laptop):
            machine.kill()
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def lab_of(*names: str) -> Iterator[Lab]:
    """A laptop and machines of these names, gone at the end however it comes; skips the test where none can be made."""
    skip_without_machines()
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=PLACE))
    lab = Lab(folder, list(names))
    try:
        yield lab
    finally:
        lab.remove()


def left_of(folder: Path) -> list[str]:
    """What is left of machines that are gone: their folder, mounts in it, processes with it in their command line."""
    name = str(folder)
    left = [name] if folder.exists() else []
    left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            left += [line] if name in line else []
    return left


def make_key(path: Path) -> None:
    """A pair of ssh keys without a passphrase."""
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path))


def _remove_leftovers() -> None:
    """Remove folders of those who were killed: their machines ended with them."""
    for folder in PLACE.glob(f"{PREFIX}*"):
        owner = int(folder.name.removeprefix(PREFIX).split("-")[0])
        if not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder)


def _needed_places() -> set[str]:
    """What a machine must see where it is: Python and the project."""
    return {str(place) for place in (ROOT, sys.prefix, sys.base_prefix)}


def _child_of(parent: int) -> int:
    """Raises RuntimeError: the process has no child."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                return int(status.parent.name)
    raise RuntimeError(f"process {parent} has no child")


def _run(*words: str) -> None:
    ended = subprocess.run(words, env={"PATH": PATH}, capture_output=True, text=True, timeout=300)
    if ended.returncode:
        raise RuntimeError(f"`{' '.join(words)}` ended with {ended.returncode}: {ended.stderr.strip()}")
