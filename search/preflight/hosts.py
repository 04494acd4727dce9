"""Check that the machines of a cluster of provider ``local`` are reachable and have what ``ray up`` needs."""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from leukemia.base.errors import first_line
from search.preflight.login import CONNECT_SECONDS, HostReport, log_in
from search.preflight.problems import collect, unexpected

LOWEST_PYTHON = (3, 11)

ADDRESS = re.compile(r"[^\s\0-][^\s\0]*")
HEAD, WORKERS, EXTERNAL = "provider.head_ip", "provider.worker_ips", "provider.external_head_ip"

PROJECT = "~/leukemia-search"
"""Where cluster.onprem.yaml puts the project."""


def check_hosts(config: dict[str, Any], *, with_login: bool = True) -> tuple[list[str], list[str]]:
    """Problems and notes about the machines, a line each.

    Args:
        config: a cluster file that is valid by Ray's schema, with provider ``local``.
        with_login: also log in; otherwise check only whether they are reachable.
    """
    provider = config["provider"]
    if "head_ip" not in provider:
        return [], ["the machines are chosen by a coordinator: only this one was checked"]
    problems = list(_name_problems(provider))
    head = _external_head(provider) or provider["head_ip"]
    reports = _probe_all(head, config, with_login=with_login)
    for report in reports:
        problems += report.problems
        if report.facts:
            problems += collect(report.host, functools.partial(_missing, report, config))
    problems += [*_duplicates(reports), *_python_differences(reports)]
    notes = [note for report in reports for note in report.notes]
    if reports and reports[0].host == head and reports[0].facts and "tmux" not in reports[0].facts:
        notes.append(f"{head}: no tmux on the head, and `ray exec --tmux` needs it; apt-get install tmux there")
    if not with_login:
        notes.append("no machine was checked from inside: that needs the user and the key")
    count = 1 + len(provider["worker_ips"])
    return problems, [f"{count} machine{'s' if count > 1 else ''}, the head is {head}", *notes]


def _probe_all(head: str, config: dict[str, Any], *, with_login: bool) -> list[HostReport]:
    """A report on each machine with a valid address, the head first."""
    provider = config["provider"]
    hosts = dict.fromkeys(host for host in (head, *provider["worker_ips"]) if _is_address(host))
    if head != provider["head_ip"]:
        hosts.pop(provider["head_ip"], None)
    with ThreadPoolExecutor(max_workers=32) as pool:
        external = provider.get("external_head_ip")
        reports = list(
            pool.map(lambda host: _probe(host, config, with_login=with_login, external=host == external), hosts)
        )
        if reports and reports[0].host == head and reports[0].facts:
            # Only the head must reach the workers, because the head starts them.
            remote = [report for report in reports[1:] if report.unreachable]
            list(pool.map(lambda report: _probe_through(report, reports[0], config), remote))
    for report in reports:
        if report.unreachable and not (report.problems or report.notes or report.facts):
            report.problems.append(report.unreachable)
    return reports


def _is_address(host: object) -> bool:
    return isinstance(host, str) and ADDRESS.fullmatch(host) is not None


def _external_head(provider: dict[str, Any]) -> Any:
    """The head's address as seen from here if it differs from that in its own network, chosen as by Ray."""
    inside = provider.get("use_internal_ips") and not provider.get("use_external_head_ip")
    return None if inside else provider.get("external_head_ip")


def _name_problems(provider: dict[str, Any]) -> Iterator[str]:
    head, workers = provider["head_ip"], provider["worker_ips"]
    named = [(HEAD, head), *((WORKERS, worker) for worker in workers)]
    if provider.get("external_head_ip") is not None:
        named.append((EXTERNAL, provider["external_head_ip"]))
    for where, host in named:
        if not _is_address(host):
            yield f"{where}: expected the address or name of a machine, found {host!r}; correct it"
    if head in workers:
        yield f"{WORKERS}: {head} is also {HEAD}, and the head trains anyway; remove it from {WORKERS}"
    for worker in dict.fromkeys(str(worker) for worker in workers if worker != head):
        if workers.count(worker) > 1:
            yield f"{WORKERS}: {worker} is listed {workers.count(worker)} times; list it once"


def _duplicates(reports: list[HostReport]) -> Iterator[str]:
    """Machines with two names: Ray would start on them twice, and the second start ends the first."""
    seen: dict[str, str] = {}
    for report in reports:
        if report.address and seen.setdefault(report.address, report.host) != report.host:
            yield f"{seen[report.address]} and {report.host} are the same machine, {report.address}; list it once"


def _probe(host: str, config: dict[str, Any], *, with_login: bool, external: bool) -> HostReport:
    report = HostReport(host)
    try:
        auth = config.get("auth") or {}
        report.unreachable = _resolution_problem(report, auth, external=external) or ""
        # With a proxy command only ssh can connect.
        if not report.unreachable and not auth.get("ssh_proxy_command"):
            where = EXTERNAL if external else f"{HEAD} or {WORKERS}"
            report.unreachable = _connection_problem(report, where) or ""
        if with_login and not report.unreachable:
            log_in(report, auth)
    except Exception as error:
        report.problems.append(unexpected(host, error))
    return report


def _probe_through(report: HostReport, head: HostReport, config: dict[str, Any]) -> None:
    try:
        log_in(report, config["auth"], head.address or head.host)
    except Exception as error:
        report.problems.append(unexpected(report.host, error))


def _resolution_problem(report: HostReport, auth: dict[str, Any], *, external: bool) -> str | None:
    """Ray resolves names itself, to IPv4 only, except for the two that it passes to ssh."""
    if external or auth.get("ssh_proxy_use_node_id"):
        return None
    try:
        report.address = socket.gethostbyname(report.host)
    except (OSError, ValueError):
        # ValueError: an invalid name, such as one with two consecutive dots.
        return f"{report.host}: no machine with that name has an IPv4 address; correct {HEAD} or {WORKERS}"
    return None


def _connection_problem(report: HostReport, where: str) -> str | None:
    host = report.host
    try:
        with socket.create_connection((report.address or host, 22), timeout=CONNECT_SECONDS):
            return None
    except (socket.gaierror, ValueError):
        return f"{host}: no machine with that name; correct {where}"
    except ConnectionRefusedError:
        return f"{host}: the machine is up, but no ssh server runs on port 22; apt-get install openssh-server there"
    except TimeoutError:
        return f"{host}: no response on port 22 within {CONNECT_SECONDS} s; is it on, and does a firewall block ssh?"
    except OSError as error:
        return f"{host}: port 22 is unreachable ({first_line(error)}); correct {where}"


def _missing(report: HostReport, config: dict[str, Any]) -> Iterator[str]:
    host, facts = report.host, report.facts
    if "rsync" not in facts:
        yield f"{host}: no rsync, which Ray needs to copy files; apt-get install rsync there"
    if "blocked" in facts and any(str(remote).startswith(f"{PROJECT}/") for remote in config.get("file_mounts") or {}):
        yield f"{host}: {PROJECT} is a file, but the project needs a folder of that name; move the file away"
    yield from _python_problems(report)
    makes = any("-m venv" in command for command in config.get("setup_commands") or [])
    if makes and "python" in facts and not {"venv", "environment"} & set(facts):
        yield f"{host}: its python3 cannot create an environment (venv, ensurepip); apt-get install python3-venv there"
    here, there = version("ray"), facts.get("ray", version("ray"))
    if there != here:
        yield (
            f"{host}: Ray {there} there, {here} here, but all machines need the same; `rm -r {PROJECT}/.venv` there, "
            "and `ray up` installs the version in constraints.txt"
        )


def _python_problems(report: HostReport) -> Iterator[str]:
    found, lowest = report.facts.get("python"), ".".join(map(str, LOWEST_PYTHON))
    if found is None:
        yield f"{report.host}: no python3; Python {lowest} or newer is needed"
    elif tuple(int(number) for number in found.split(".")[:2]) < LOWEST_PYTHON:
        yield f"{report.host}: Python {found}, but {lowest} or newer is needed"


def _python_differences(reports: list[HostReport]) -> Iterator[str]:
    pythons = {report.host: report.facts["python"] for report in reports if "python" in report.facts}
    if len(set(pythons.values())) > 1:
        found = ", ".join(f"{python} on {host}" for host, python in pythons.items())
        yield f"Ray needs the same Python on all machines, including the patch version; found {found}; align them"
