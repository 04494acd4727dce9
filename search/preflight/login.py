"""Log in to one machine of a cluster and probe it, with the user, key and shell that Ray uses."""

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
"""Prefix of the probe's output lines: a machine's .bashrc may print anything."""

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
"""Run on each machine; the environment is the one created by cluster.onprem.yaml. No exclamation marks: in an
interactive shell they mean history expansion."""

SHELL = shlex.join(["bash", "--login", "-c", "-i", f"source ~/.bashrc; {PROBE}"])
"""Ray runs all commands in such a shell, whose start-up files set the path."""

FACTS = re.compile(rf"^{MARK} (\w+) (\S+)\s*$", re.MULTILINE)

NOT_FORWARDED = ("open failed", "stdio forwarding failed", "timed out during banner exchange")
FORBIDDEN = "administratively prohibited"
"""Messages of ssh if the intermediate machine cannot reach the target, or does not allow forwarding."""


@dataclass
class HostReport:
    """What was found out about one machine."""

    host: str
    """Its address or name, as in the cluster file."""
    address: str = ""
    """IPv4, resolved as by Ray; empty if it has not been resolved."""
    unreachable: str = ""
    """Why it is unreachable from here; empty if it is reachable."""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    """Results of the probe by name; empty without a login."""


def ssh_command(auth: dict[str, Any], proxy: str | None = None, log_level: str = "ERROR") -> list[str]:
    """The command that logs in as Ray does, with no other key than the one that Ray copies to the head."""
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
    """The proxy command to connect through the head, which has the same user and key."""
    # ssh logs the reason for a failed forwarding at this level.
    command = [*ssh_command(auth, log_level="INFO"), "-W", "TARGET", "--", f"{auth['ssh_user']}@{head}"]
    # ssh expands percent signs.
    return shlex.join(command).replace("%", "%%").replace("TARGET", "%h:%p")


def log_in(report: HostReport, auth: dict[str, Any], head: str | None = None) -> None:
    """Log in and run the probe; problems and facts are added to ``report``.

    Args:
        head: the machine to connect through, if this one cannot reach the other directly.
    """
    host, user = report.host, auth["ssh_user"]
    login = f"{user}@{host}"
    # Like Ray, connect to the address: settings in ~/.ssh/config for the name do not apply.
    target = f"{user}@{(not head and report.address) or host}"
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
        report.problems.append(
            f"{host}: ssh as {user} did not end within {LOGIN_SECONDS} s; does its ~/.bashrc wait? Try `ssh {login}`"
        )
        return
    except FileNotFoundError:
        return  # A missing ssh is reported separately.
    facts = dict(FACTS.findall(ended.stdout))
    if "end" in facts:
        report.facts = facts
    elif head and FORBIDDEN in ended.stderr:
        report.notes.append(f"{report.unreachable}; the head does not allow forwarding, so it was not checked")
    elif head and any(message in ended.stderr for message in NOT_FORWARDED):
        report.problems.append(f"{report.unreachable}; the head cannot reach it, either")
    else:
        report.problems.append(_refusal(ended, host, login, auth))


def _refusal(ended: subprocess.CompletedProcess[str], host: str, login: str, auth: dict[str, Any]) -> str:
    user, key = auth["ssh_user"], auth.get("ssh_private_key")
    key = key and Path(key).expanduser()
    reason = (ended.stderr.strip().splitlines() or ["no message"])[-1]
    if ended.returncode != 255:
        last = (ended.stdout.strip().splitlines() or [reason])[-1].strip()
        return (
            f"{host}: the shell exited with status {ended.returncode} before running the probe ({last}); `ray up` "
            "needs bash there, and a ~/.bashrc that neither exits nor starts another shell"
        )
    if "Permission denied" in reason:
        return (
            f"{host}: rejects user {user} with key {key or '(none set)'}; correct auth, or authorize the "
            f"key: ssh-copy-id -i {key or 'KEY'} {login}"
        )
    return f"{host}: ssh as {user} fails ({reason}); try `ssh {login}` by hand"
