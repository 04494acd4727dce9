"""Queries to W&B's server, which need neither a run nor W&B's client."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import requests

from leukemia.base.files import parse_json
from leukemia.tracking import client, names, settings
from leukemia.tracking.account import api_key
from leukemia.tracking.request import post

UNSUPPORTED = (400, 404, 405, 422, 501)
"""Statuses with which servers reject a query that they do not know."""

ENDED = ("finished", "failed", "killed")
"""States of a run that was uploaded completely; killed: a user pressed Stop, and the run was closed normally."""

_RUNS = """
query RunsOfGroup($entity: String, $project: String!, $filters: JSONString, $cursor: String) {
    project(name: $project, entityName: $entity) {
        runs(filters: $filters, after: $cursor, first: 100) {
            edges { node {
                name state tags summaryMetrics historyTail
                files(first: 1000) { edges { node { name md5 } } }
            } }
            pageInfo { endCursor hasNextPage }
        }
    }
}
"""


class Unsupported(Exception):
    """The server works, but cannot answer this query; some servers other than W&B's own lack parts of its API."""


@dataclass(frozen=True, kw_only=True)
class ServerRun:
    """A run as the server has it."""

    id: str
    is_closed: bool
    """Whether it was closed and its rows were uploaded. If the key is rejected during a run, W&B's client stops
    uploading and closes the run without an error."""

    missing: tuple[str, ...]
    """Files that its summary or its last row refers to and that the server does not have. They are uploaded separately,
    to a host of their own, and W&B's client closes the run without an error if that fails."""

    tags: tuple[str, ...]
    with_names: bool | None
    """Whether its tables have names of images and patients; None if it has no such tables."""

    @property
    def is_complete(self) -> bool:
        """Whether everything was uploaded."""
        return self.is_closed and not self.missing


def ask(query: str, **variables: Any) -> dict[str, Any]:
    """Send a GraphQL query or mutation; returns its data.

    Raises:
        Unsupported: the server does not know the query.
        requests.RequestException: the server is unreachable, has failed or rejects the key.
    """
    answer = post({"query": query, "variables": variables}, api_key() or "")
    if answer.status in UNSUPPORTED:
        raise Unsupported(f"{answer.status} {answer.reason}")
    if not answer.is_ok:
        raise requests.HTTPError(f"{answer.status} {answer.reason}")
    with reading():
        content = answer.json()
    if isinstance(content, dict) and (errors := content.get("errors")):
        raise Unsupported(str(errors[0].get("message")))
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        raise Unsupported("the answer has no data")
    return dict(content["data"])


def runs_of(study: str) -> dict[str, ServerRun]:
    """All runs in a study's group, by id.

    Raises:
        Unsupported: the server cannot list runs and their files.
        requests.RequestException: as ``ask``.
    """
    found: dict[str, ServerRun] = {}
    entity, project, cursor = client.entity(), settings.project(), None
    filters = json.dumps({"group": settings.group(study)})
    while True:
        data = ask(_RUNS, entity=entity, project=project, filters=filters, cursor=cursor)
        if data.get("project") is None:
            return found
        with reading():
            page = data["project"]["runs"]
            runs = {node["name"]: _run(node) for node in _nodes(page)}
            cursor, has_more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        if has_more and runs.keys() <= found.keys():
            raise Unsupported("its list of runs does not end")
        found |= runs
        if not has_more:
            return found


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Read an answer; one with other fields or types than W&B's raises ``Unsupported``."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unsupported(f"unexpected answer ({type(error).__name__})") from error


def _run(node: dict[str, Any]) -> ServerRun:
    # The server lists a file from when its upload begins; its checksum is "0" until it arrives (``wandb.restore``).
    stored = {file["name"] for file in _nodes(node["files"]) if file["md5"] not in (None, "0")}
    rows, summary = parse_json(node["historyTail"] or "[]"), parse_json(node["summaryMetrics"] or "{}")
    named = _files([summary, *map(parse_json, rows)])
    # An absolute pattern is that of the whole path, as for W&B's client.
    globs = [f"/{glob}" for glob in settings.ignore_globs()]
    used = {name for name in named if not any(PurePosixPath(f"/{name}").match(glob) for glob in globs)}
    return ServerRun(
        id=node["name"],
        is_closed=node["state"] in ENDED,
        missing=tuple(sorted(used - stored)),
        tags=tuple(node["tags"] or ()),
        with_names=bool(summary.get(names.WITH_NAMES)) if summary.keys() & set(names.TABLES) else None,
    )


def _nodes(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in page["edges"]]


def _files(values: Any) -> set[str]:
    """Paths of the tables and images in logged values, each ``{"_type": "table-file", "path": ...}``."""
    if isinstance(values, list):
        return set().union(*map(_files, values))
    if not isinstance(values, dict):
        return set()
    if str(values.get("_type")).endswith("-file"):
        return {str(values["path"])}
    return _files(list(values.values()))
