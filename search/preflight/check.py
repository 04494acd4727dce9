"""``python -m search.preflight CLUSTER.yaml``: all that stands in the way of ``ray up``, before anything costs."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml  # type: ignore[import-untyped]

from leukemia.base.errors import MissingFile, UserError, first_line
from search.cluster.ray_private import checked_cluster_config, cluster_schema
from search.preflight.aws import account_findings
from search.preflight.hosts import host_findings
from search.preflight.mounts import mount_problems
from search.preflight.problems import gathered, unforeseen
from search.preflight.ssh_key import key_problems

USER = re.compile(r"[^\s-]\S*")
"""ssh takes what begins with a hyphen for an option."""

SCHEMA = jsonschema.Draft7Validator(cluster_schema())


def read_cluster(path: Path) -> dict[str, Any]:
    """A cluster's file as Ray fills it up and checks it.

    Raises:
        UserError: absent, unreadable, no YAML, or not what Ray's schema asks for.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file; the project has cluster.yaml and cluster.onprem.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{place}: no valid YAML ({problem or first_line(error)})") from None
    if not isinstance(config, dict) or not isinstance(config.get("provider"), dict):
        raise UserError(f"{path}: expected a cluster's file with a section `provider`; compare it with cluster.yaml")
    if "type" not in config["provider"]:
        raise UserError(f"{path}: provider.type: expected aws or local, found none; compare it with cluster.yaml")
    mounts = config.get("file_mounts")
    for remote, local in mounts.items() if isinstance(mounts, dict) else ():
        if not isinstance(local, str):
            raise UserError(
                f"{path}: file_mounts.{remote}: expected a path on this machine, found {local!r}; write one"
            )
    # What is absent Ray fills in; what is there and of the wrong kind it trips over before it looks at its schema.
    wrong = [error for error in SCHEMA.iter_errors(config) if error.validator != "required"]
    try:
        if wrong:
            raise wrong[0]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            config = checked_cluster_config(config)
    except jsonschema.ValidationError as error:
        field = ".".join(str(part) for part in error.absolute_path) or "the file"
        raise UserError(f"{path}: {field}: {first_line(error)}; compare it with cluster.yaml") from None
    except Exception as error:
        # Where a field is not what Ray expects it raises whatever comes.
        raise UserError(f"{path}: Ray refuses it ({type(error).__name__}: {first_line(error)})") from None
    return config


def findings(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong, and what is worth knowing, a line each; looks at this machine and then at the cluster's."""
    auth = config.get("auth") or {}
    kind = config["provider"]["type"]
    key = gathered("auth.ssh_private_key", lambda: key_problems(auth))
    user = gathered("auth.ssh_user", lambda: _user_problems(auth)) if kind in ("aws", "local") else []
    problems = [
        *gathered("this machine", _tool_problems),
        *gathered("file_mounts", lambda: mount_problems(config)),
        *user,
        *key,
    ]
    try:
        if kind == "aws":
            others, known = account_findings(config)
        elif kind == "local":
            # Whom no key of the user's can let in, each machine need not say again.
            others, known = host_findings(config, log_in=not user and not key)
        else:
            others, known = [], [f"provider {kind}: only this machine was looked at"]
    except Exception as error:
        others, known = [unforeseen(f"provider {kind}", error)], []
    return [*problems, *others], known


def _tool_problems() -> Iterator[str]:
    for tool, package in (("ssh", "openssh-client"), ("rsync", "rsync")):
        if shutil.which(tool) is None:
            yield f"{tool} is not installed here, and `ray up` uses it; install {package}"


def _user_problems(auth: dict[str, Any]) -> Iterator[str]:
    user = auth.get("ssh_user")
    if not isinstance(user, str) or not USER.fullmatch(user):
        yield f"auth.ssh_user: expected the user who logs in to the machines, found {user!r}; name it there"
