"""What ``ray up`` copies to the machines: the project's files, the token, the pins of what is installed."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leukemia.base.errors import first_line
from search.preflight.problems import gathered
from search.preflight.ssh_key import OTHERS

TOKEN = ".ray/auth_token"
MAKE_TOKEN = "(umask 077; ray get-auth-token --generate > /dev/null)"

RAY_PIN = re.compile(r"^\s*ray(?:\[[^]]*\])?\s*==\s*([^\s;#]+)", re.MULTILINE)


def mount_problems(config: dict[str, Any]) -> Iterator[str]:
    """What cannot be copied, a line each; paths are relative to where ``ray up`` is called, as Ray sees them."""
    mounts = config.get("file_mounts") or {}
    if not any(str(remote).endswith(TOKEN) for remote in mounts):
        yield f"file_mounts: no ~/{TOKEN}, so that whoever reaches a port of the cluster runs code there; add it"
    for remote, local in mounts.items():
        if not isinstance(remote, str) or not isinstance(local, str) or not local:
            yield f"file_mounts.{remote}: expected a path there and one here, found {remote!r}: {local!r}; correct it"
            continue
        yield from gathered(f"file_mounts.{remote}", functools.partial(_problems, remote, local))


def _problems(remote: str, named: str) -> Iterator[str]:
    try:
        local = Path(named).expanduser()
    except RuntimeError:
        yield f"file_mounts.{remote}: {named} is of a user who is not here; correct the path"
        return
    if local.is_file() and local.is_symlink():
        # Of a folder Ray copies what is in it, also through a link.
        yield (
            f"file_mounts.{remote}: {local} is a link, which is copied as a link that leads nowhere on the machines; "
            f"name the file itself: {local.resolve()}"
        )
    if remote.endswith(TOKEN):
        yield from _token_problems(local)
    elif not local.exists():
        yield f"file_mounts.{remote}: {_absent(local)}"
    elif local.name == "constraints.txt":
        yield from _pin_problems(local)


def _absent(local: Path) -> str:
    if local.is_absolute():
        return f"no {local} on this machine; correct the path, or take the line away"
    return f"no {local} in {Path.cwd()}; call this and `ray up` from the project's folder"


def _token_problems(token: Path) -> Iterator[str]:
    try:
        text = token.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        yield f"{token}: cannot be read as a token ({first_line(error)}); move it away and make one: {MAKE_TOKEN}"
        return
    if not text.split():
        yield f"{token}: no token there, and without one whoever reaches a port runs code; {MAKE_TOKEN}"
    elif len(text.split()) > 1:
        yield f"{token}: expected one word, found {len(text.split())}; move it away and make one: {MAKE_TOKEN}"
    elif token.stat().st_mode & OTHERS:
        yield f"{token}: others on this machine may read the token; chmod 600 {token}"


def _pin_problems(constraints: Path) -> Iterator[str]:
    here = version("ray")
    try:
        pins = constraints.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        yield f"{constraints}: cannot be read ({first_line(error)}); it says what the machines install: bring it back"
        return
    found = RAY_PIN.search(pins)
    if found is None:
        yield f"{constraints}: expected a line ray=={here}, found none, so that machines get any Ray; add the line"
    elif found[1] != here:
        yield (
            f"Ray {here} here, the cluster's machines get {found[1]} from {constraints}; make them one: "
            f"python -m pip install -c {constraints} ray"
        )
    elif f"ray=={here}" not in pins.splitlines():
        yield f"{constraints}: set-up looks for the line ray=={here}, found {found[0].strip()!r}; write it so"
