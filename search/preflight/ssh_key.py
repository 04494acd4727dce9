"""The user's ssh key: whether ``ray up`` can use it, and the head after it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukemia.base.errors import first_line

OTHERS = 0o077
"""Permission bits of everybody but the owner."""

FIELD = "auth.ssh_private_key"


def key_problems(auth: dict[str, Any]) -> Iterator[str]:
    """Why the key that a cluster's file names opens nothing; at most one line.

    Where none is named, Ray makes one on AWS, and elsewhere ssh takes the user's own.
    """
    if "ssh_private_key" not in auth:
        return
    named = auth["ssh_private_key"]
    if not isinstance(named, str) or not named:
        yield f"{FIELD}: expected the path of a key, found {named!r}; name your key there"
        return
    try:
        key = Path(named).expanduser()
        head = key.read_bytes()[:100]
    except RuntimeError:
        yield f"{FIELD}: {named} is of a user who is not here; correct the path"
        return
    except FileNotFoundError:
        yield f"{FIELD}: no file {key}; name your key, or make one: ssh-keygen -t ed25519 -f {key}"
        return
    except IsADirectoryError:
        yield f"{FIELD}: {key} is a directory; name the key in it"
        return
    except OSError as error:
        yield f"{FIELD}: {key} cannot be read ({first_line(error)}); name a key of your own"
        return
    if head.startswith((b"ssh-", b"ecdsa-", b"sk-", b"---- BEGIN SSH2 PUBLIC")):
        yield f"{FIELD}: {key} is a public key; name the private one, most often the file without .pub"
    elif b"PRIVATE KEY" not in head:
        yield f"{FIELD}: {key} is no private key; name one that ssh-keygen made"
    elif key.stat().st_mode & OTHERS:
        yield f"{FIELD}: others may read {key}, and ssh refuses such a key; chmod 600 {key}"
    elif key.is_symlink():
        # Ray copies it to the head, for the workers, with `rsync -a`.
        yield (
            f"{FIELD}: {key} is a link, which `ray up` copies to the head as a link that leads nowhere; name the file "
            f"itself: {key.resolve()}"
        )
    else:
        yield from _opening_problems(key)


def _opening_problems(key: Path) -> Iterator[str]:
    try:
        # Prints its public half where it opens without a passphrase.
        opened = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", key],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
    except FileNotFoundError:
        return  # The command says once that openssh-client is not here.
    if opened.returncode == 0:
        return
    said = (opened.stderr.strip().splitlines() or ["nothing said"])[-1]
    if "passphrase" in said:
        yield (
            f"{FIELD}: {key} has a passphrase, and `ray up` copies the key to the head, which starts the workers with "
            "it; make one for these machines only, without: ssh-keygen -t ed25519 -N '' -f KEY"
        )
    else:
        yield f"{FIELD}: {key} cannot be opened (ssh-keygen: {said}); name a whole key, or copy it anew"
