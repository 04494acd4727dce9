"""Short requests to W&B's server, each with a timeout and without retries; they need neither a run nor W&B's client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import requests

from leukemia.tracking import client, settings
from leukemia.tracking.account import api_key

TIMEOUT_SECONDS = 10.0
"""Timeout of a request."""

UNSUPPORTED = (400, 404, 405, 422, 501)
"""Statuses with which servers reject a query that they do not know."""

ENDED = ("finished", "failed", "killed")
"""States of a run that was uploaded completely; killed: a user pressed Stop, and the run was closed normally."""

_RUNS = """
query RunsOfGroup($entity: String, $project: String!, $filters: JSONString, $cursor: String) {
    project(name: $project, entityName: $entity) {
        runs(filters: $filters, after: $cursor, first: 500) {
            edges { node { name state tags } }
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
    is_complete: bool
    """Whether it was closed and uploaded. If the key is rejected during a run, W&B's client stops uploading and closes
    the run without an error."""

    tags: tuple[str, ...]


def ask(query: str, **variables: Any) -> dict[str, Any]:
    """Send a GraphQL query or mutation; returns its data.

    Raises:
        Unsupported: the server does not know the query.
        requests.RequestException: the server is unreachable, has failed or rejects the key.
    """
    answer = requests.post(
        f"{settings.base_url()}/graphql",
        json={"query": query, "variables": variables},
        auth=("api", api_key() or ""),
        timeout=TIMEOUT_SECONDS,
    )
    if answer.status_code in UNSUPPORTED:
        raise Unsupported(f"{answer.status_code} {answer.reason}")
    answer.raise_for_status()
    content = answer.json()
    if isinstance(content, dict) and (errors := content.get("errors")):
        raise Unsupported(str(errors[0].get("message")))
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        raise Unsupported("the answer has no data")
    return dict(content["data"])


def runs_of(study: str) -> dict[str, ServerRun]:
    """All runs in a study's group, by id.

    Raises:
        Unsupported: the server cannot list runs.
        requests.RequestException: as ``ask``.
    """
    found: dict[str, ServerRun] = {}
    entity, project, cursor = client.entity(), settings.project(), None
    filters = json.dumps({"group": settings.group(study)})
    while True:
        data = ask(_RUNS, entity=entity, project=project, filters=filters, cursor=cursor)
        if data.get("project") is None:
            return found
        page = data["project"]["runs"]
        for node in (edge["node"] for edge in page["edges"]):
            found[node["name"]] = ServerRun(
                id=node["name"], is_complete=node["state"] in ENDED, tags=tuple(node["tags"] or ())
            )
        if not page["pageInfo"]["hasNextPage"]:
            return found
        cursor = page["pageInfo"]["endCursor"]
