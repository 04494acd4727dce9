"""Check that ``ray up``, and later the head, can use the user's ssh key."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukemia.base.errors import first_line
from leukemia.base.files import read_file

OTHERS = 0o077
"""Permission bits of everyone but the owner."""

FIELD = "auth.ssh_private_key"


def key_problems(auth: dict[str, Any]) -> Iterator[str]:
    """Why the key in a cluster file cannot be used; at most one line.

    Without a key in the file, Ray creates one on AWS; elsewhere ssh uses the user's default key.
    """
    if "ssh_private_key" not in auth:
        return
    named = auth["ssh_private_key"]
    if not isinstance(named, str) or not named:
        yield f"{FIELD}: expected the path of a key, found {named!r}; set the path of your key"
        return
    try:
        key = Path(named).expanduser()
        head = read_file(key)[:100]
    except RuntimeError:
        yield f"{FIELD}: {named} names an unknown user; correct the path"
        return
    except FileNotFoundError:
        yield f"{FIELD}: no file {key}; set the path of your key, or create one: ssh-keygen -t ed25519 -f {key}"
        return
    except IsADirectoryError:
        yield f"{FIELD}: {key} is a directory; set the path of a key in it"
        return
    except OSError as error:
        yield f"{FIELD}: {key} cannot be read ({first_line(error)}); choose a key of your own"
        return
    if head.startswith((b"ssh-", b"ecdsa-", b"sk-", b"---- BEGIN SSH2 PUBLIC")):
        yield f"{FIELD}: {key} is a public key; set the private one, usually the file without .pub"
    elif b"PRIVATE KEY" not in head:
        yield f"{FIELD}: {key} is not a private key; choose one created by ssh-keygen"
    elif key.stat().st_mode & OTHERS:
        yield f"{FIELD}: other users can read {key}, and ssh rejects such a key; chmod 600 {key}"
    elif key.is_symlink():
        # Ray copies it to the head, for the workers, with `rsync -a`.
        yield (
            f"{FIELD}: {key} is a symlink, which `ray up` would copy to the head as a broken symlink; set the path of "
            f"the file itself: {key.resolve()}"
        )
    else:
        yield from _opening_problems(key)


def _opening_problems(key: Path) -> Iterator[str]:
    try:
        # Prints the public key if the private key has no passphrase.
        opened = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", key],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
    except FileNotFoundError:
        return  # A missing openssh-client is reported separately.
    if opened.returncode == 0:
        return
    reason = (opened.stderr.strip().splitlines() or ["no message"])[-1]
    if "passphrase" in reason:
        yield (
            f"{FIELD}: {key} has a passphrase, but `ray up` copies the key to the head, which starts the workers with "
            "it; create a key without one for these machines only: ssh-keygen -t ed25519 -N '' -f KEY"
        )
    else:
        yield f"{FIELD}: {key} cannot be opened (ssh-keygen: {reason}); choose an intact key, or copy it again"
