"""One machine of a cluster, asked over ssh as Ray asks: the same user, key and shell."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONNECT_SECONDS = 5
LOGIN_SECONDS = 30

MARK = "leukemia-preflight"
"""Begins the lines that are answers: a machine's .bashrc may print anything."""

PROBE = r"""
echo
command -v rsync > /dev/null && echo MARK rsync yes
command -v tmux > /dev/null && echo MARK tmux yes
test -e ~/leukemia-search && { test -d ~/leukemia-search || echo MARK blocked yes; }
for python in ~/leukemia-search/.venv/bin/python python3; do
    "$python" -c 'import platform; print("MARK python", platform.python_version())' 2> /dev/null && break
done
test -x ~/leukemia-search/.venv/bin/python && echo MARK environment yes
python3 -c 'import ensurepip, venv; print("MARK venv yes")' 2> /dev/null
~/leukemia-search/.venv/bin/python -c 'import importlib.metadata as m; print("MARK ray", m.version("ray"))' 2> /dev/null
echo MARK end yes
""".replace("MARK", MARK)
"""Asked of each machine; the environment is the one that cluster.onprem.yaml makes. No exclamation mark: the shell is
interactive, and there it is history."""

SHELL = shlex.join(["bash", "--login", "-c", "-i", f"source ~/.bashrc; {PROBE}"])
"""Ray runs all commands in such a shell, which decides on the path."""

ANSWERS = re.compile(rf"^{MARK} (\w+) (\S+)\s*$", re.MULTILINE)

NOT_FORWARDED = ("open failed", "stdio forwarding failed", "timed out during banner exchange")
FORBIDDEN = "administratively prohibited"
"""What ssh says where the machine between does not reach the other, or lets nobody through."""


@dataclass
class Answer:
    """What one machine said."""

    host: str
    """Its address or name, as the cluster's file has it."""
    address: str = ""
    """IPv4, as Ray looks it up; empty where nobody did."""
    unreachable: str = ""
    """Why it cannot be reached from here; empty where it can."""
    problems: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    """Answers of the probe by their names; empty where nobody logged in."""


def ssh_command(auth: dict[str, Any], proxy: str | None = None, log_level: str = "ERROR") -> list[str]:
    """The words that log in as Ray does, with no key but the one that Ray takes to the head."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ControlPath": "none",
        "IdentitiesOnly": "yes",
        "LogLevel": log_level,
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
    }
    key = []
    if "ssh_private_key" in auth:
        key = ["-i", str(Path(auth["ssh_private_key"]).expanduser())]
        options["IdentityAgent"] = "none"
    if proxy or auth.get("ssh_proxy_command"):
        options["ProxyCommand"] = proxy or auth["ssh_proxy_command"]
    return ["ssh", *key, *(f"-o{name}={value}" for name, value in options.items())]


def through(head: str, auth: dict[str, Any]) -> str:
    """The proxy command that leads through the head, which has the same user and key."""
    # ssh counts why a way on did not open as information.
    command = [*ssh_command(auth, log_level="INFO"), "-W", "TARGET", "--", f"{auth['ssh_user']}@{head}"]
    # ssh replaces what follows a per cent sign.
    return shlex.join(command).replace("%", "%%").replace("TARGET", "%h:%p")


def look_inside(answer: Answer, auth: dict[str, Any], head: str | None = None) -> None:
    """Log in and ask; what is wrong, and what was answered, goes into ``answer``.

    Args:
        head: the machine to go through, where this one does not reach the other.
    """
    host, user = answer.host, auth["ssh_user"]
    whom = f"{user}@{host}"
    # As Ray does, to the address: settings of ~/.ssh/config for a name are not heeded.
    target = f"{user}@{(not head and answer.address) or host}"
    try:
        ended = subprocess.run(
            [*ssh_command(auth, through(head, auth) if head else None), "-tt", "--", target, SHELL],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LOGIN_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        answer.problems.append(
            f"{host}: ssh as {user} did not end within {LOGIN_SECONDS} s; does ~/.bashrc wait there? Try `ssh {whom}`"
        )
        return
    except FileNotFoundError:
        return  # The command says once that there is no ssh here.
    facts = dict(ANSWERS.findall(ended.stdout))
    if "end" in facts:
        answer.facts = facts
    elif head and FORBIDDEN in ended.stderr:
        answer.known.append(f"{answer.unreachable}; the head lets nobody through, so that it was not looked at")
    elif head and any(words in ended.stderr for words in NOT_FORWARDED):
        answer.problems.append(f"{answer.unreachable}; the head does not reach it, either")
    else:
        answer.problems.append(_refusal(ended, host, whom, auth))


def _refusal(ended: subprocess.CompletedProcess[str], host: str, whom: str, auth: dict[str, Any]) -> str:
    user, key = auth["ssh_user"], auth.get("ssh_private_key")
    key = key and Path(key).expanduser()
    said = (ended.stderr.strip().splitlines() or ["nothing said"])[-1]
    if ended.returncode != 255:
        last = (ended.stdout.strip().splitlines() or [said])[-1].strip()
        return (
            f"{host}: the shell ended before it answered, with status {ended.returncode} ({last}); `ray up` needs bash "
            "there, and a ~/.bashrc that neither exits nor starts another shell"
        )
    if "Permission denied" in said:
        return (
            f"{host}: refuses user {user} with the key {key or '(none named)'}; correct auth, or let the "
            f"key in: ssh-copy-id -i {key or 'KEY'} {whom}"
        )
    return f"{host}: ssh as {user} fails ({said}); try `ssh {whom}` by hand"
