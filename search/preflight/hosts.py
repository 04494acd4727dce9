"""The machines of a cluster of provider ``local``: can they be reached, and have they what ``ray up`` needs?"""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from leukemia.base.errors import first_line
from search.preflight.login import CONNECT_SECONDS, Answer, look_inside
from search.preflight.problems import gathered, unforeseen

LOWEST_PYTHON = (3, 11)

ADDRESS = re.compile(r"[^\s\0-][^\s\0]*")
HEAD, WORKERS, EXTERNAL = "provider.head_ip", "provider.worker_ips", "provider.external_head_ip"

PLACE = "~/leukemia-search"
"""Where cluster.onprem.yaml puts the project."""


def host_findings(config: dict[str, Any], *, log_in: bool = True) -> tuple[list[str], list[str]]:
    """What is wrong with the machines, and what is worth knowing of them, a line each.

    Args:
        config: a cluster's file, valid by Ray's schema, of provider ``local``.
        log_in: also look inside; else only whether they can be reached.
    """
    provider = config["provider"]
    if "head_ip" not in provider:
        return [], ["the machines are a coordinator's to choose: only this one was looked at"]
    problems = list(_name_problems(provider))
    head = _external_head(provider) or provider["head_ip"]
    answers = _ask_all(head, config, log_in=log_in)
    for answer in answers:
        problems += answer.problems
        if answer.facts:
            problems += gathered(answer.host, functools.partial(_lacks, answer, config))
    problems += [*_twins(answers), *_python_differences(answers)]
    known = [words for answer in answers for words in answer.known]
    if answers and answers[0].host == head and answers[0].facts and "tmux" not in answers[0].facts:
        known.append(f"{head}: no tmux on the head, and `ray exec --tmux` needs it; apt-get install tmux there")
    if not log_in:
        known.append("no machine was looked into: that needs the user and the key")
    count = 1 + len(provider["worker_ips"])
    return problems, [f"{count} machine{'s' if count > 1 else ''}, the head is {head}", *known]


def _ask_all(head: str, config: dict[str, Any], *, log_in: bool) -> list[Answer]:
    """Every machine once, the head first, where it has an address."""
    provider = config["provider"]
    hosts = dict.fromkeys(host for host in (head, *provider["worker_ips"]) if _is_address(host))
    if head != provider["head_ip"]:
        hosts.pop(provider["head_ip"], None)
    with ThreadPoolExecutor(max_workers=32) as pool:
        external = provider.get("external_head_ip")
        answers = list(pool.map(lambda host: _ask(host, config, log_in=log_in, external=host == external), hosts))
        if answers and answers[0].host == head and answers[0].facts:
            # Only the head needs to reach the workers, as it is the head that starts them.
            far = [answer for answer in answers[1:] if answer.unreachable]
            list(pool.map(lambda answer: _ask_through(answer, answers[0], config), far))
    for answer in answers:
        if answer.unreachable and not (answer.problems or answer.known or answer.facts):
            answer.problems.append(answer.unreachable)
    return answers


def _is_address(host: object) -> bool:
    return isinstance(host, str) and ADDRESS.fullmatch(host) is not None


def _external_head(provider: dict[str, Any]) -> Any:
    """The head's address from here where the file has another one than its own network's, as Ray chooses it."""
    inside = provider.get("use_internal_ips") and not provider.get("use_external_head_ip")
    return None if inside else provider.get("external_head_ip")


def _name_problems(provider: dict[str, Any]) -> Iterator[str]:
    head, workers = provider["head_ip"], provider["worker_ips"]
    named = [(HEAD, head), *((WORKERS, worker) for worker in workers)]
    if provider.get("external_head_ip") is not None:
        named.append((EXTERNAL, provider["external_head_ip"]))
    for where, host in named:
        if not _is_address(host):
            yield f"{where}: expected an address or a name of a machine, found {host!r}; correct it"
    if head in workers:
        yield f"{WORKERS}: {head} is {HEAD}, too, and the head trains anyway; take it out of {WORKERS}"
    for worker in dict.fromkeys(str(worker) for worker in workers if worker != head):
        if workers.count(worker) > 1:
            yield f"{WORKERS}: {worker} stands there {workers.count(worker)} times; leave it there once"


def _twins(answers: list[Answer]) -> Iterator[str]:
    """Machines with two names: Ray would start on them twice, and the second start ends the first."""
    seen: dict[str, str] = {}
    for answer in answers:
        if answer.address and seen.setdefault(answer.address, answer.host) != answer.host:
            yield f"{seen[answer.address]} and {answer.host} are one machine, {answer.address}; name it once"


def _ask(host: str, config: dict[str, Any], *, log_in: bool, external: bool) -> Answer:
    answer = Answer(host)
    try:
        auth = config.get("auth") or {}
        answer.unreachable = _resolution_problem(answer, auth, external=external) or ""
        # Behind a proxy of the user's only ssh knows the way.
        if not answer.unreachable and not auth.get("ssh_proxy_command"):
            where = EXTERNAL if external else f"{HEAD} or {WORKERS}"
            answer.unreachable = _connection_problem(answer, where) or ""
        if log_in and not answer.unreachable:
            look_inside(answer, auth)
    except Exception as error:
        answer.problems.append(unforeseen(host, error))
    return answer


def _ask_through(answer: Answer, head: Answer, config: dict[str, Any]) -> None:
    try:
        look_inside(answer, config["auth"], head.address or head.host)
    except Exception as error:
        answer.problems.append(unforeseen(answer.host, error))


def _resolution_problem(answer: Answer, auth: dict[str, Any], *, external: bool) -> str | None:
    """Ray looks names up itself, for IPv4 alone, except for the two that it hands to ssh."""
    if external or auth.get("ssh_proxy_use_node_id"):
        return None
    try:
        answer.address = socket.gethostbyname(answer.host)
    except (OSError, ValueError):
        # ValueError: no name at all, such as one with two dots in a row.
        return f"{answer.host}: no machine of that name with an IPv4 address; correct {HEAD} or {WORKERS}"
    return None


def _connection_problem(answer: Answer, where: str) -> str | None:
    host = answer.host
    try:
        with socket.create_connection((answer.address or host, 22), timeout=CONNECT_SECONDS):
            return None
    except (socket.gaierror, ValueError):
        return f"{host}: no machine of that name; correct {where}"
    except ConnectionRefusedError:
        return f"{host}: the machine answers, but no ssh server on port 22; apt-get install openssh-server there"
    except TimeoutError:
        return f"{host}: no answer on port 22 within {CONNECT_SECONDS} s; is it on, and does a firewall let ssh pass?"
    except OSError as error:
        return f"{host}: port 22 cannot be reached ({first_line(error)}); correct {where}"


def _lacks(answer: Answer, config: dict[str, Any]) -> Iterator[str]:
    host, facts = answer.host, answer.facts
    if "rsync" not in facts:
        yield f"{host}: no rsync there, and Ray copies files with it; apt-get install rsync"
    if "blocked" in facts and any(str(remote).startswith(f"{PLACE}/") for remote in config.get("file_mounts") or {}):
        yield f"{host}: {PLACE} is a file there, and the project needs a folder of that name; move the file away"
    yield from _python_problems(answer)
    makes = any("-m venv" in command for command in config.get("setup_commands") or [])
    if makes and "python" in facts and not {"venv", "environment"} & set(facts):
        yield f"{host}: its python3 cannot make an environment (venv, ensurepip); apt-get install python3-venv there"
    here, there = version("ray"), facts.get("ray", version("ray"))
    if there != here:
        yield (
            f"{host}: Ray {there} there, {here} here; make them one: `rm -r {PLACE}/.venv` there, and "
            "`ray up` installs what constraints.txt names"
        )


def _python_problems(answer: Answer) -> Iterator[str]:
    found, asked = answer.facts.get("python"), ".".join(map(str, LOWEST_PYTHON))
    if found is None:
        yield f"{answer.host}: no python3 there; Python {asked} or newer is needed"
    elif tuple(int(number) for number in found.split(".")[:2]) < LOWEST_PYTHON:
        yield f"{answer.host}: Python {found} there, {asked} or newer is needed"


def _python_differences(answers: list[Answer]) -> Iterator[str]:
    pythons = {answer.host: answer.facts["python"] for answer in answers if "python" in answer.facts}
    if len(set(pythons.values())) > 1:
        told = ", ".join(f"{python} on {host}" for host, python in pythons.items())
        yield f"Ray joins machines of one Python only, to the third number; found {told}; make them alike"
