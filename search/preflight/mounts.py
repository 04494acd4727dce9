"""Check what ``ray up`` copies to the machines: the project's files, the token, the pinned versions."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leukemia.base.errors import first_line
from leukemia.base.files import read_file
from search.preflight.problems import collect
from search.preflight.ssh_key import OTHERS

TOKEN = ".ray/auth_token"
MAKE_TOKEN = "(umask 077; ray get-auth-token --generate > /dev/null)"

RAY_PIN = re.compile(r"^\s*ray(?:\[[^]]*\])?\s*==\s*([^\s;#]+)", re.MULTILINE)


def mount_problems(config: dict[str, Any]) -> Iterator[str]:
    """What cannot be copied, a line each; paths are relative to the working directory, as for ``ray up``."""
    mounts = config.get("file_mounts") or {}
    if not any(str(remote).endswith(TOKEN) for remote in mounts):
        yield f"file_mounts: no ~/{TOKEN}, so that anyone who can reach a cluster port can run code on it; add it"
    for remote, local in mounts.items():
        if not isinstance(remote, str) or not isinstance(local, str) or not local:
            yield f"file_mounts.{remote}: expected a remote and a local path, found {remote!r}: {local!r}; correct it"
            continue
        yield from collect(f"file_mounts.{remote}", functools.partial(_problems, remote, local))


def _problems(remote: str, named: str) -> Iterator[str]:
    try:
        local = Path(named).expanduser()
    except RuntimeError:
        yield f"file_mounts.{remote}: {named} names an unknown user; correct the path"
        return
    if local.is_file() and local.is_symlink():
        # Ray copies the content of a folder, also through a link.
        yield (
            f"file_mounts.{remote}: {local} is a symlink, which would be copied as a broken symlink; set the path of "
            f"the file itself: {local.resolve()}"
        )
    if remote.endswith(TOKEN):
        yield from _token_problems(local)
    elif not local.exists():
        yield f"file_mounts.{remote}: {_absent(local)}"
    elif local.name == "constraints.txt":
        yield from _pin_problems(local)


def _absent(local: Path) -> str:
    if local.is_absolute():
        return f"no {local} on this machine; correct the path, or remove the line"
    return f"no {local} in {Path.cwd()}; run this and `ray up` in the project's folder"


def _token_problems(token: Path) -> Iterator[str]:
    try:
        text = read_file(token).decode()
    except (FileNotFoundError, NotADirectoryError):
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        yield f"{token}: cannot be read as a token ({first_line(error)}); move it away and create one: {MAKE_TOKEN}"
        return
    if not text.split():
        yield f"{token}: no token, so that anyone who can reach a cluster port can run code on it; {MAKE_TOKEN}"
    elif len(text.split()) > 1:
        yield f"{token}: expected one word, found {len(text.split())}; move it away and create one: {MAKE_TOKEN}"
    elif token.stat().st_mode & OTHERS:
        yield f"{token}: other users of this machine can read the token; chmod 600 {token}"


def _pin_problems(constraints: Path) -> Iterator[str]:
    here = version("ray")
    try:
        pins = read_file(constraints).decode()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{constraints}: cannot be read ({first_line(error)}), but pins what the machines install; restore it"
        return
    found = RAY_PIN.search(pins)
    if found is None:
        yield f"{constraints}: expected a line ray=={here}, found none, so machines may install any Ray; add the line"
    elif found[1] != here:
        yield (
            f"Ray {here} here, the cluster's machines get {found[1]} from {constraints}; install the same version: "
            f"python -m pip install -c {constraints} ray"
        )
    elif f"ray=={here}" not in pins.splitlines():
        yield f"{constraints}: setup needs the exact line ray=={here}, found {found[0].strip()!r}; correct it"
