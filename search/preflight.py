"""``python -m search.preflight CLUSTER.yaml``: all that stands in the way of ``ray up``, before anything costs."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import ray.autoscaler
import yaml  # type: ignore[import-untyped]

# Ray publishes no check of a cluster's file: these two are what `ray up` itself begins with.
from ray.autoscaler._private.util import prepare_config, validate_config

from leukemia import __version__
from leukemia.mistakes import SUCCESS, USER_MISTAKE, MissingFile, Mistake, first_line, listed, run_command
from search.aws import account_findings
from search.hosts import host_findings

OTHERS = 0o077
"""Permission bits of everybody but the owner."""

TOKEN = ".ray/auth_token"
SCHEMA = jsonschema.Draft7Validator(
    json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
)

MAKE_TOKEN = "(umask 077; ray get-auth-token --generate > /dev/null)"


def main(argv: list[str] | None = None) -> int:
    """Look, and say what was found; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m search.preflight",
        description="Look for everything that would make `ray up` fail, and change nothing.",
        epilog="example: python -m search.preflight cluster.yaml && ray up cluster.yaml",
    )
    parser.add_argument("cluster", type=Path, metavar="CLUSTER.yaml", help="the cluster's file, as for `ray up`")
    parser.add_argument("--version", action="version", version=__version__)
    path = parser.parse_args(argv).cluster
    config = read_cluster(path)
    problems, known = findings(config)
    for words in known:
        print(words)
    if problems:
        words = listed(problems, limit=len(problems))
        print(f"error: {path} is not ready, {len(problems)} to mend:\n{words}", file=sys.stderr)
        return USER_MISTAKE
    print(f"ready: ray up {path}")
    return SUCCESS


def read_cluster(path: Path) -> dict[str, Any]:
    """A cluster's file as Ray fills it up and checks it.

    Raises:
        Mistake: absent, unreadable, no YAML, or not what Ray's schema asks for.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file; the project has cluster.yaml and cluster.onprem.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"{path}: cannot be read ({first_line(error)})") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise Mistake(f"{path}{place}: no valid YAML ({problem or first_line(error)})") from None
    if not isinstance(config, dict) or not isinstance(config.get("provider"), dict):
        raise Mistake(f"{path}: expected a cluster's file with a section `provider`; compare it with cluster.yaml")
    # What is absent Ray fills in; what is there and of the wrong kind it trips over before it looks at its schema.
    wrong = [error for error in SCHEMA.iter_errors(config) if error.validator != "required"]
    try:
        if wrong:
            raise wrong[0]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            config = prepare_config(config)
            validate_config(config)
    except jsonschema.ValidationError as error:
        field = ".".join(str(part) for part in error.absolute_path) or "the file"
        raise Mistake(f"{path}: {field}: {first_line(error)}; compare it with cluster.yaml") from None
    except Exception as error:
        # Where a field is not what Ray expects it raises whatever comes.
        raise Mistake(f"{path}: Ray refuses it ({type(error).__name__}: {first_line(error)})") from None
    return config


def findings(config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong, and what is worth knowing, a line each; looks at this machine and then at the cluster's."""
    problems = [*_tool_problems(), *_mount_problems(config), *_key_problems(config)]
    kind = config["provider"].get("type")
    look = {"aws": account_findings, "local": host_findings}.get(str(kind))
    if look is None:
        return problems, [f"provider {kind}: only this machine was looked at"]
    others, known = look(config)
    return [*problems, *others], known


def _tool_problems() -> Iterator[str]:
    for tool, package in (("ssh", "openssh-client"), ("rsync", "rsync")):
        if shutil.which(tool) is None:
            yield f"{tool} is not installed here, and `ray up` uses it; install {package}"


def _mount_problems(config: dict[str, Any]) -> Iterator[str]:
    """What cannot be copied to the machines; paths are relative to where `ray up` is called, as Ray sees them."""
    mounts = {remote: Path(local).expanduser() for remote, local in config.get("file_mounts", {}).items()}
    tokens = [remote for remote in mounts if remote.endswith(TOKEN)]
    if not tokens:
        yield f"file_mounts: no ~/{TOKEN}, so that whoever reaches a port of the cluster runs code there; add it"
    for remote, local in mounts.items():
        if remote in tokens:
            yield from _token_problems(local)
        elif not local.exists():
            yield f"file_mounts.{remote}: no {local} in {Path.cwd()}; call this and `ray up` from the project's folder"
        elif local.name == "constraints.txt":
            yield from _pin_problems(local)


def _token_problems(token: Path) -> Iterator[str]:
    if not token.is_file() or not token.read_text(encoding="utf-8").strip():
        yield f"{token}: no token there, and without one whoever reaches a port runs code; {MAKE_TOKEN}"
    elif token.stat().st_mode & OTHERS:
        yield f"{token}: others on this machine may read the token; chmod 600 {token}"


def _pin_problems(constraints: Path) -> Iterator[str]:
    pins = dict(line.split("==", 1) for line in constraints.read_text(encoding="utf-8").splitlines() if "==" in line)
    here, there = version("ray"), pins.get("ray")
    if there != here:
        yield (
            f"Ray {here} here, the cluster's machines get {there} from {constraints}; make them one: "
            f"python -m pip install -c {constraints} ray"
        )


def _key_problems(config: dict[str, Any]) -> Iterator[str]:
    if "ssh_private_key" not in config.get("auth", {}):
        return  # Ray makes one on AWS; elsewhere ssh takes the user's own.
    key = Path(config["auth"]["ssh_private_key"]).expanduser()
    if not key.is_file():
        yield f"auth.ssh_private_key: no file {key}; name your key, or make one: ssh-keygen -t ed25519 -f {key}"
    elif key.stat().st_mode & OTHERS:
        yield f"auth.ssh_private_key: others may read {key}, and ssh refuses such a key; chmod 600 {key}"


if __name__ == "__main__":
    run_command(main)
