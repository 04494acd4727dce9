"""Doubles of ssh, ssh-keygen, rsync and ssh servers, for quick tests on machines without them."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from search.preflight.login import MARK

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n"

TOOLS = {
    "rsync": "exit 1\n",
    # Called as `ssh-keygen -y -P "" -f KEY`; its messages are those of OpenSSH 9.2.
    "ssh-keygen": """
case $(cat "$5") in
    *"words: "*) echo "Load key \\"$5\\": incorrect passphrase supplied to decrypt private key" >&2; exit 255 ;;
    *"END OPENSSH PRIVATE KEY-----") echo "ssh-ed25519 AAAA" ;;
    *) echo "Load key \\"$5\\": error in libcrypto" >&2; exit 255 ;;
esac
""",
    # Called as `ssh OPTIONS -- USER@HOST COMMAND`: a machine's output is in files next to the script.
    "ssh": """
while [ "$1" != -- ]; do shift; done
answer=$(dirname "$0")/${2#*@}
cat "$answer.out"
cat "$answer.err" >&2
exit "$(cat "$answer.status")"
""",
}


def make_key(path: Path, passphrase: str = "") -> None:
    """Create what ``ssh-keygen`` above accepts as a key pair."""
    words = f"words: {passphrase}" if passphrase else "no words"
    path.write_text(PRIVATE.format(f"{words}\n" + "key" * 100))
    path.chmod(0o600)
    path.with_suffix(".pub").write_text("ssh-ed25519 AAAA\n")


class SshDouble:
    """The tools, first on the path, and the machines that they can reach; all others refuse connections."""

    def __init__(self, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._tools = tools
        self._faults: dict[str, OSError | None] = {}
        self._connect = socket.create_connection
        tools.mkdir()
        for name, text in TOOLS.items():
            self.install(name, text)
        monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(socket, "create_connection", self._connect_double)

    def install(self, name: str, text: str) -> None:
        """Put a command of this shell script on the path."""
        (self._tools / name).write_text(f"#!/bin/sh\n{text}")
        (self._tools / name).chmod(0o755)

    def machine(
        self, host: str, out: str = "", *, err: str = "", status: int = 0, fault: OSError | None = None
    ) -> None:
        """Add a machine with the output of a login.

        Args:
            fault: raised by a connection to port 22; a login may still go through another machine.
        """
        self._faults[host] = fault
        for name, text in {"out": out, "err": err, "status": str(status)}.items():
            (self._tools / f"{host}.{name}").write_text(text)

    def _connect_double(self, address: tuple[str, int], *arguments: Any, **more: Any) -> Any:
        if address[1] != 22:
            return self._connect(address, *arguments, **more)
        if fault := self._faults.get(address[0], ConnectionRefusedError()):
            raise fault
        return contextlib.nullcontext()


def probe_output(**facts: str) -> str:
    """The output of the probe of ``search/preflight/login.py`` on a machine, as in a terminal."""
    return "".join(f"{MARK} {name} {value}\r\n" for name, value in (facts | {"end": "yes"}).items())
