"""Check a cluster file, this machine and the cluster's machines or account for problems before ``ray up``."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from leukemia.base.errors import MissingFile, UserError, first_line
from leukemia.base.files import read_file
from leukemia.base.yaml_text import InvalidYaml, parse
from search.cluster.ray_private import checked_cluster_config, cluster_schema
from search.preflight.aws import check_account
from search.preflight.hosts import check_hosts
from search.preflight.mounts import mount_problems
from search.preflight.problems import collect, unexpected
from search.preflight.ssh_key import key_problems

USER = re.compile(r"[^\s-]\S*")
"""ssh would take a leading hyphen for an option."""

SCHEMA = jsonschema.Draft7Validator(cluster_schema())


def read_cluster(path: Path) -> dict[str, Any]:
    """Read a cluster file, with Ray's defaults filled in and validated by Ray.

    Raises:
        UserError: it is absent or unreadable, not YAML, or does not follow Ray's schema.
    """
    try:
        config = parse(read_file(path).decode())
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file; the project has cluster.yaml and cluster.onprem.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from None
    except InvalidYaml as error:
        raise UserError(f"{path}: not valid YAML ({error})") from None
    if not isinstance(config, dict) or not isinstance(config.get("provider"), dict):
        raise UserError(f"{path}: expected a cluster file with a section `provider`; compare it with cluster.yaml")
    if "type" not in config["provider"]:
        raise UserError(f"{path}: provider.type: expected aws or local, found none; compare it with cluster.yaml")
    mounts = config.get("file_mounts")
    for remote, local in mounts.items() if isinstance(mounts, dict) else ():
        if not isinstance(local, str):
            raise UserError(
                f"{path}: file_mounts.{remote}: expected a path on this machine, found {local!r}; write one"
            )
    # Ray fills in absent fields; fields of the wrong type make it fail before it validates the schema.
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
        # Ray raises errors of any type for a value that it does not expect.
        raise UserError(f"{path}: Ray rejects it ({type(error).__name__}: {first_line(error)})") from None
    return config


def check_cluster(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Problems and notes, a line each, about this machine, then the cluster's machines or account."""
    auth = config.get("auth") or {}
    kind = config["provider"]["type"]
    key = collect("auth.ssh_private_key", lambda: key_problems(auth))
    user = collect("auth.ssh_user", lambda: _user_problems(auth)) if kind in ("aws", "local") else []
    problems = [
        *collect("this machine", _tool_problems),
        *collect("file_mounts", lambda: mount_problems(config)),
        *user,
        *key,
    ]
    try:
        if kind == "aws":
            others, notes = check_account(config)
        elif kind == "local":
            # Without a valid user and key, every machine would report the same problem.
            others, notes = check_hosts(config, with_login=not user and not key)
        else:
            others, notes = [], [f"provider {kind}: only this machine was checked"]
    except Exception as error:
        others, notes = [unexpected(f"provider {kind}", error)], []
    return [*problems, *others], notes


def _tool_problems() -> Iterator[str]:
    for tool, package in (("ssh", "openssh-client"), ("rsync", "rsync")):
        if shutil.which(tool) is None:
            yield f"{tool} is not installed on this machine, and `ray up` needs it; install {package}"


def _user_problems(auth: dict[str, Any]) -> Iterator[str]:
    user = auth.get("ssh_user")
    if not isinstance(user, str) or not USER.fullmatch(user):
        yield f"auth.ssh_user: expected the user to log in with, found {user!r}; set it"
