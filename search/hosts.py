"""The machines of a cluster of provider ``local``: can they be reached, and have they what ``ray up`` needs?"""

from __future__ import annotations

import shlex
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leukemia.mistakes import first_line

CONNECT_SECONDS = 5
LOGIN_SECONDS = 30

LOWEST_PYTHON = (3, 11)

PROBE = """
command -v rsync > /dev/null && echo rsync yes
for python in ~/leukemia-search/.venv/bin/python python3; do
    "$python" -c 'import platform; print("python", platform.python_version())' 2> /dev/null && break
done
~/leukemia-search/.venv/bin/python -c 'import importlib.metadata as m; print("ray", m.version("ray"))' 2> /dev/null
true
"""
"""Asked of each machine; the environment is the one that cluster.onprem.yaml makes."""


@dataclass
class Answer:
    """What one machine said: problems, a line each, and the versions that it has."""

    host: str
    problems: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def host_findings(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong with the machines, and what is worth knowing of them, a line each.

    Args:
        config: a cluster's file, valid by Ray's schema, of provider ``local``.
    """
    if "head_ip" not in config["provider"]:
        return [], ["the machines are a coordinator's to choose: only this one was looked at"]
    hosts = [config["provider"]["head_ip"], *config["provider"]["worker_ips"]]
    with ThreadPoolExecutor(max_workers=32) as pool:
        answers = list(pool.map(lambda host: _ask(str(host), config.get("auth", {})), hosts))
    problems = [problem for answer in answers for problem in answer.problems]
    pythons = {answer.host: answer.versions["python"] for answer in answers if "python" in answer.versions}
    if len(set(pythons.values())) > 1:
        told = ", ".join(f"{python} on {host}" for host, python in pythons.items())
        problems.append(f"Ray joins machines of one Python only, to the third number; found {told}; make them alike")
    return problems, [f"{len(hosts)} machines, the head is {hosts[0]}"]


def _ask(host: str, auth: dict[str, Any]) -> Answer:
    answer = Answer(host)
    # Behind a proxy of the user's only ssh knows the way.
    problem = None if "ssh_proxy_command" in auth else _connection_problem(host)
    if problem is None:
        problem = _login(answer, auth)
    if problem is not None:
        answer.problems.append(problem)
        return answer
    if "rsync" not in answer.versions:
        answer.problems.append(f"{host}: no rsync there, and Ray copies files with it; apt-get install rsync")
    answer.problems += [problem for problem in (_python_problem(answer), _ray_problem(answer)) if problem]
    return answer


def _connection_problem(host: str) -> str | None:
    try:
        with socket.create_connection((host, 22), timeout=CONNECT_SECONDS):
            return None
    except socket.gaierror:
        return f"{host}: no machine of that name; correct provider.head_ip or provider.worker_ips"
    except ConnectionRefusedError:
        return f"{host}: the machine answers, but no ssh server on port 22; apt-get install openssh-server there"
    except TimeoutError:
        return f"{host}: no answer on port 22 within {CONNECT_SECONDS} s; is it on, and does a firewall let ssh pass?"
    except OSError as error:
        return (
            f"{host}: port 22 cannot be reached ({first_line(error)}); correct provider.head_ip or provider.worker_ips"
        )


def _login(answer: Answer, auth: dict[str, Any]) -> str | None:
    """Log in as Ray does and ask; returns why not."""
    user, key = auth.get("ssh_user"), auth.get("ssh_private_key") and str(Path(auth["ssh_private_key"]).expanduser())
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
    }
    if "ssh_proxy_command" in auth:
        options["ProxyCommand"] = auth["ssh_proxy_command"]
    command = ["ssh", *(["-i", key] if key else []), *(f"-o{name}={value}" for name, value in options.items())]
    whom = f"{user}@{answer.host}" if user else answer.host
    try:
        ended = subprocess.run(
            [*command, whom, f"bash -c {shlex.quote(PROBE)}"],
            capture_output=True,
            text=True,
            timeout=LOGIN_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"{answer.host}: ssh as {user} did not end within {LOGIN_SECONDS} s; try `ssh {whom}` by hand"
    except FileNotFoundError:
        return None  # The command says once that there is no ssh here.
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["nothing said"])[-1]
        if "Permission denied" in said:
            return (
                f"{answer.host}: refuses user {user} with the key {key or '(none named)'}; correct auth, or let the "
                f"key in: ssh-copy-id -i {key or 'KEY'} {whom}"
            )
        return f"{answer.host}: ssh as {user} fails ({said}); try `ssh {whom}` by hand"
    answer.versions = dict(line.split(" ", 1) for line in ended.stdout.splitlines() if line.count(" ") == 1)
    return None


def _python_problem(answer: Answer) -> str | None:
    found, asked = answer.versions.get("python"), ".".join(map(str, LOWEST_PYTHON))
    if found is None:
        return f"{answer.host}: no python3 there; Python {asked} or newer is needed"
    if tuple(int(number) for number in found.split(".")[:2]) < LOWEST_PYTHON:
        return f"{answer.host}: Python {found} there, {asked} or newer is needed"
    return None


def _ray_problem(answer: Answer) -> str | None:
    here, there = version("ray"), answer.versions.get("ray")
    if there in (None, here):
        return None
    return (
        f"{answer.host}: Ray {there} there, {here} here; make them one: `rm -r ~/leukemia-search/.venv` there, and "
        "`ray up` installs what constraints.txt names"
    )
