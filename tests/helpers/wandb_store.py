"""Content and answers of the fake Weights & Biases server, independent of HTTP.

Answers have more fields than an operation queries; the client ignores the rest, so queries need no parsing.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import Any
from urllib.parse import quote

import yaml
from helpers.wandb_records import EVENTS, HISTORY, OUTPUT, SUMMARY, Artifact, Run, Sweep

ENTITY = "lab"
"""The user, and the default entity."""

DATE = "2026-01-01T00:00:00Z"
"""Creation date of everything."""

FEATURES = (
    "CLIENT_IDS",
    "ARTIFACT_TAGS",
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILES",
    "PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP",
    "USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION",
)
"""Features reported by the server; the client has fallbacks for missing ones."""


class GraphQLError(Exception):
    """An error in the server's answer."""


class Store:
    """The content of the server, accessed by ``graphql``, ``file_stream`` and ``storage``."""

    def __init__(self) -> None:
        self.url = ""
        self.runs: dict[str, Run] = {}
        self.deleted: set[str] = set()
        """Ids of deleted runs, which are never accepted again."""

        self.sweeps: dict[str, Sweep] = {}
        self.num_sweeps = 0
        """Number of sweeps created so far."""

        self.artifacts: dict[str, Artifact] = {}
        """By identity."""

        self.unknown: list[str] = []
        """Unsupported requests."""

    def graphql(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer one operation."""
        action = getattr(self, "_do_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower(), None)
        try:
            if action is None:
                self.unknown.append(operation)
                raise GraphQLError(f"unknown operation {operation!r}")
            return {"data": action(variables)}
        except GraphQLError as error:
            return {"data": None, "errors": [{"message": str(error)}]}

    def file_stream(self, run_id: str, content: dict[str, Any]) -> dict[str, Any]:
        """Store lines of a run's streams, and its end; the answer tells a run to stop."""
        run = self.runs[run_id]
        for name, chunk in (content.get("files") or {}).items():
            lines = run.streams.setdefault(name, {})
            if name == SUMMARY:
                lines.clear()
            lines.update(enumerate(chunk["content"], start=chunk["offset"]))
        if content.get("complete"):
            run.complete, run.exit_code = True, content["exitcode"]
        return {"exitcode": run.exit_code, "limits": {}, "stopped": run.stopped}

    def storage(self, method: str, kind: str, owner: str, name: str, body: bytes) -> bytes | None:
        """Store (``PUT``) or return a file of a ``run`` or ``artifact``, or an artifact's ``manifest``."""
        if kind == "manifest":
            artifact = self.artifacts[owner]
            if method == "PUT":
                artifact.manifest = json.loads(body)
            return json.dumps(artifact.manifest).encode()
        files = self.runs[owner].files if kind == "run" else self.artifacts[owner].files
        if method == "PUT":
            files[name] = body
        return files.get(name)

    def _address(self, kind: str, owner: str, name: str) -> str:
        return f"{self.url}/storage/{kind}/{quote(owner, safe='')}/{quote(name)}"

    # User and features

    def _do_viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        user = {"id": ENTITY, "entity": ENTITY, "username": ENTITY, "email": "lab@example.org", "flags": "{}"}
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        return {"viewer": {**user, "teams": teams}}

    def _do_get_default_entity(self, variables: dict[str, Any]) -> dict[str, Any]:
        return self._do_viewer(variables)

    def _do_server_features_query(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": [{"name": name, "isEnabled": True} for name in FEATURES]}}

    # Runs

    def _do_run_resume_status(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        return {"model": {**_project(variables["entity"], variables["project"]), "bucket": run and _bucket(run)}}

    def _do_upsert_bucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Open or update a run; a client sends its host only when it opens a run."""
        name = variables["name"] or variables["id"]
        sweep = variables.get("sweep")
        if sweep is not None and sweep not in self.sweeps:
            raise GraphQLError(f"sweep {sweep} not found")
        if name in self.deleted:
            raise GraphQLError(f"run {name} was previously created and deleted; try a new run name")
        inserted = name not in self.runs
        entity, project = variables.get("entity") or ENTITY, variables.get("project") or "uncategorized"
        run = self.runs.setdefault(name, Run(name=name, entity=entity, project=project))
        if variables.get("host") is not None:
            run.num_inits += 1
            run.complete, run.exit_code = False, None
        for key, attribute in (
            ("displayName", "display_name"),
            ("groupName", "group"),
            ("jobType", "job_type"),
            ("notes", "notes"),
            ("tags", "tags"),
            ("sweep", "sweep"),
        ):
            if variables.get(key) is not None:
                setattr(run, attribute, variables[key])
        if config := json.loads(variables.get("config") or "null"):
            run.config = {key: entry["value"] for key, entry in config.items()}
            run.client_config = run.config.pop("_wandb", {})
        return {"upsertBucket": {"bucket": _bucket(run), "inserted": inserted}}

    def _do_runs_of_group(self, variables: dict[str, Any]) -> dict[str, Any]:
        return self._do_runs(variables)

    def _do_runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        """All runs of a group on one page."""
        group = json.loads(variables["filters"])["group"]
        runs = [run for run in self.runs.values() if run.group == group]
        edges = [{"node": {"projectId": "1", **_bucket(run)}, "cursor": run.name} for run in runs]
        page = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        project = {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": page}
        return {"project": project if runs else None}

    def _do_create_run_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = variables["run"]
        files = [{"name": name, "uploadUrl": self._address("run", run, name)} for name in variables["files"]]
        self.runs[run].announced.update(variables["files"])
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}

    # Sweeps

    def _do_upsert_sweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Create a sweep, or change the state of one."""
        if variables.get("state") is not None:
            return self._set_sweep_state(variables["id"], variables["state"])
        name = variables.get("id") or f"sweep{self.num_sweeps:03d}"
        entity, project = variables.get("entityName") or ENTITY, variables.get("projectName") or "uncategorized"
        prior = json.loads(variables.get("priorRunsFilters") or '{"$or": []}')
        sweep = Sweep(
            name=name,
            entity=entity,
            project=project,
            config=yaml.safe_load(variables["config"]),
            prior_runs=[entry["name"] for entry in prior["$or"]],
        )
        self.sweeps[name] = sweep
        self.num_sweeps += 1
        return {
            "upsertSweep": {
                "sweep": {"id": sweep.identity, "name": name, "project": _project(entity, project)},
                "configValidationWarnings": [],
            }
        }

    def _set_sweep_state(self, identity: str, state: str) -> dict[str, Any]:
        """As the public client allows it, which checks this itself."""
        found = [sweep for sweep in self.sweeps.values() if sweep.identity == identity]
        if not found:
            raise GraphQLError(f"no sweep with id {identity}")
        (sweep,) = found
        if state == "PAUSED" and sweep.state not in ("PAUSED", "RUNNING"):
            raise GraphQLError(f"cannot pause {sweep.state} sweep")
        if state != "RUNNING" and sweep.state not in ("RUNNING", "PAUSED", "PENDING"):
            raise GraphQLError(f"sweep already {sweep.state}")
        sweep.state = state
        sweep.states.append(state)
        return {"upsertSweep": {"sweep": {"name": sweep.name}}}

    def _do_sweep_state(self, variables: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps.get(variables["sweep"])
        if sweep and (sweep.entity, sweep.project) != (variables["entity"], variables["project"]):
            sweep = None
        return {"project": {"sweep": sweep and {"id": sweep.identity, "state": sweep.state}}}

    def _do_get_sweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps.get(variables["name"])
        found = sweep and {
            "__typename": "Sweep",
            "id": sweep.identity,
            "name": sweep.name,
            "displayName": sweep.config.get("name"),
            "method": sweep.config["method"],
            "state": sweep.state,
            "description": None,
            "bestLoss": None,
            "config": yaml.safe_dump(sweep.config),
            "createdAt": DATE,
            "updatedAt": DATE,
            "runCount": 0,
            "runCountExpected": None,
        }
        return {"project": {"sweep": found}}

    def _do_get_sweep_legacy(self, variables: dict[str, Any]) -> dict[str, Any]:
        return self._do_get_sweep(variables)

    # Creating artifacts, in the order of the client's calls

    def _do_artifact_type(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Type of a collection's versions, if any; the client rejects another type."""
        artifact = self.artifact(variables["name"])
        return {"project": {"artifact": artifact and _artifact(artifact)}}

    def _do_create_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        given = variables["input"]
        collection = given["artifactCollectionName"]
        versions = self.versions(collection)
        aliases = [entry["alias"] for entry in given.get("aliases") or []]
        same = [artifact for artifact in versions if artifact.digest == given["digest"]]
        if same:
            (artifact,) = same
            self._name(artifact, aliases)
        else:
            artifact = Artifact(
                # The client caches artifacts by identity for the whole process, even across servers.
                identity=uuid.uuid4().hex,
                entity=given["entityName"],
                project=given["projectName"],
                type=given["artifactTypeName"],
                collection=collection,
                digest=given["digest"],
                created_by=given.get("runName"),
                description=given.get("description"),
                metadata=json.loads(given.get("metadata") or "{}"),
                wanted_aliases=aliases,
            )
            self.artifacts[artifact.identity] = artifact
        latest = {"id": versions[-1].identity, "versionIndex": versions[-1].version} if versions else None
        return {
            "createArtifact": {
                "artifact": _artifact(artifact)
                | {"artifactSequence": {**_collection(artifact), "latestArtifact": latest}}
            }
        }

    def _do_create_artifact_manifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"createArtifactManifest": {"artifactManifest": self._manifest(variables["artifactID"])}}

    def _do_update_artifact_manifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"updateArtifactManifest": {"artifactManifest": self._manifest(variables["artifactManifestID"])}}

    def _manifest(self, identity: str) -> dict[str, Any]:
        address = self._address("manifest", identity, "wandb_manifest.json")
        file = {"id": identity, "uploadUrl": address, "uploadHeaders": [], "directUrl": address}
        return {"id": identity, "file": file}

    def _do_create_artifact_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        nodes = []
        for file in variables["input"]["artifactFiles"]:
            artifact = self.artifacts[file["artifactID"]]
            node = {
                "storagePath": file["name"],
                "uploadUrl": self._address("artifact", artifact.identity, file["name"]),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": artifact.identity},
            }
            nodes.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def _do_commit_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[variables["artifactID"]]
        artifact.version, artifact.state = len(self.versions(artifact.collection)), "COMMITTED"
        self._name(artifact, ["latest", *artifact.wanted_aliases])
        return {"commitArtifact": {"artifact": _artifact(artifact)}}

    def versions(self, collection: str) -> list[Artifact]:
        """Committed versions of a collection, oldest first."""
        return [
            artifact
            for artifact in sorted(self.artifacts.values(), key=lambda artifact: artifact.version or 0)
            if artifact.collection == collection and artifact.state == "COMMITTED"
        ]

    def _name(self, artifact: Artifact, aliases: list[str]) -> None:
        """Assign aliases to a version; each alias belongs to one version of a collection."""
        for other in self.versions(artifact.collection):
            other.aliases = [alias for alias in other.aliases if alias not in aliases]
        artifact.aliases += [alias for alias in dict.fromkeys(aliases) if alias not in artifact.aliases]

    # Using artifacts, in the order of the client's calls

    def artifact(self, name: str) -> Artifact | None:
        """The version that ``collection:alias`` or ``collection:vN`` names, or None."""
        collection, _, alias = name.partition(":")
        for artifact in self.versions(collection):
            if (alias or "latest") in (*artifact.aliases, f"v{artifact.version}"):
                return artifact
        return None

    def _do_artifact_membership_by_name(self, variables: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifact(variables["name"])
        return {"project": {"artifactCollectionMembership": artifact and _membership(artifact)}}

    def _do_artifact_by_id(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"artifact": _artifact(self.artifacts[variables["id"]])}

    def _do_use_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        given = variables.get("input") or variables
        artifact = self.artifacts[given["artifactID"]]
        if given["runName"] not in artifact.used_by:
            artifact.used_by.append(given["runName"])
        return {"useArtifact": {"artifact": _artifact(artifact)}}

    def _do_fetch_artifact_manifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"artifact": {"currentManifest": self._manifest(variables["id"])}}

    def _do_get_artifact_membership_file_urls(self, variables: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifact(f"{variables['collection']}:{variables['alias']}")
        if artifact is None:
            return {"project": {"artifactCollection": None}}
        edges = []
        for name in artifact.files:
            node = {"__typename": "File", "name": name, "directUrl": self._address("artifact", artifact.identity, name)}
            edges.append({"node": node})
        files = {"pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}, "edges": edges}
        return {"project": {"artifactCollection": {**_collection(artifact), "artifactMembership": {"files": files}}}}

    def _do_update_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        given = variables["input"]
        artifact = self.artifacts[given["artifactID"]]
        if given.get("metadata") is not None:
            artifact.metadata = json.loads(given["metadata"])
        return {"result": {"artifact": _artifact(artifact)}}

    def _do_add_aliases(self, variables: dict[str, Any]) -> dict[str, Any]:
        given = variables["input"]
        self._name(self.artifacts[given["artifactID"]], [entry["alias"] for entry in given["aliases"]])
        return {"result": {"success": True}}

    def _do_delete_aliases(self, variables: dict[str, Any]) -> dict[str, Any]:
        given = variables["input"]
        gone = {entry["alias"] for entry in given["aliases"]}
        artifact = self.artifacts[given["artifactID"]]
        artifact.aliases = [alias for alias in artifact.aliases if alias not in gone]
        return {"result": {"success": True}}


def _project(entity: str | None, project: str | None) -> dict[str, Any]:
    entity = entity or ENTITY
    return {"id": project, "internalId": project, "name": project, "entity": {"id": entity, "name": entity}}


def _bucket(run: Run) -> dict[str, Any]:
    """A run in an answer."""
    config = {key: {"desc": None, "value": value} for key, value in {**run.config, "_wandb": run.client_config}.items()}
    return {
        "id": run.name,
        "name": run.name,
        "displayName": run.display_name or run.name,
        "description": "",
        "notes": run.notes,
        "tags": run.tags,
        "sweepName": run.sweep,
        "state": _state(run),
        "group": run.group,
        "jobType": run.job_type,
        "commit": None,
        "readOnly": False,
        "createdAt": DATE,
        "heartbeatAt": DATE,
        "user": {"name": ENTITY, "username": ENTITY},
        "project": _project(run.entity, run.project),
        "config": json.dumps(config),
        "wandbConfig": json.dumps({"t": run.client_config.get("t", {})}),
        "summaryMetrics": json.dumps(run.summary),
        "historyLineCount": len(run.lines(HISTORY)),
        "eventsLineCount": len(run.lines(EVENTS)),
        "logLineCount": len(run.lines(OUTPUT)),
        "historyTail": json.dumps(run.lines(HISTORY)[-1:]),
        "files": {"edges": [{"node": {"name": name, "md5": _md5(run, name)}} for name in sorted(run.announced)]},
        "eventsTail": json.dumps(run.lines(EVENTS)[-1:]),
    }


def _md5(run: Run, name: str) -> str:
    """Checksum of a file; "0" until it is uploaded, as the client expects it."""
    return hashlib.md5(run.files[name]).hexdigest() if name in run.files else "0"


def _state(run: Run) -> str:
    if not run.complete:
        return "running"
    return "killed" if run.stopped else "failed" if run.exit_code else "finished"


def _collection(artifact: Artifact) -> dict[str, Any]:
    project = _project(artifact.entity, artifact.project)
    return {
        "__typename": "ArtifactSequence",
        "id": artifact.collection,
        "name": artifact.collection,
        "project": project,
    }


def _aliases(artifact: Artifact) -> list[dict[str, Any]]:
    return [
        {"__typename": "ArtifactAlias", "id": alias, "alias": alias, "artifactCollection": _collection(artifact)}
        for alias in artifact.aliases
    ]


def _artifact(artifact: Artifact) -> dict[str, Any]:
    """A version of an artifact in an answer."""
    return {
        "__typename": "Artifact",
        "id": artifact.identity,
        "artifactSequence": _collection(artifact),
        "artifactType": {"name": artifact.type},
        "versionIndex": artifact.version,
        "description": artifact.description,
        "metadata": json.dumps(artifact.metadata),
        "state": artifact.state,
        "digest": artifact.digest,
        "aliases": _aliases(artifact),
        "tags": [],
        "size": sum(map(len, artifact.files.values())),
        "fileCount": len(artifact.files),
        "commitHash": artifact.identity,
        "historyStep": None,
        "ttlDurationSeconds": -1,
        "ttlIsInherited": True,
        "createdAt": DATE,
        "updatedAt": DATE,
    }


def _membership(artifact: Artifact) -> dict[str, Any]:
    """A version as a member of its collection, in an answer."""
    return {
        "__typename": "ArtifactCollectionMembership",
        "id": artifact.identity,
        "versionIndex": artifact.version,
        "createdAt": DATE,
        "aliases": _aliases(artifact),
        "artifactCollection": _collection(artifact),
        "artifact": _artifact(artifact),
    }
