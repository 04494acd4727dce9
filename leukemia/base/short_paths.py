"""Absolute paths, which are of one machine and may tell a user's name, shortened to their last part."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

# Not within a relative path or an address: "runs/one", "s3://bucket/name".
_ABSOLUTE = re.compile(r"(?<![\w.:/~-])/(?:[^\s/'\",;:()]+/)+([^\s/'\",;:()]*)")


def short_command(command: str) -> str:
    """A command line whose absolute paths are names.

    >>> short_command("python -m leukemia.final --test '/data/my cells' --runs=/home/ada/runs --set a.b=/c/d=1.pt")
    "python -m leukemia.final --test 'my cells' --runs=runs --set a.b=d=1.pt"
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return short_text(command)
    return shlex.join(map(_short_word, words))


def short_text(text: str) -> str:
    """A text whose absolute paths without blanks are names.

    >>> short_text("subjects are those of /data/C-NMC_training: see docs/data.md, or s3://bucket/a/b")
    'subjects are those of C-NMC_training: see docs/data.md, or s3://bucket/a/b'
    """
    return _ABSOLUTE.sub(lambda match: match[1] or PurePosixPath(match[0]).name, text)


def _short_word(word: str) -> str:
    option, sign, value = ("", "", word) if word.startswith("/") else word.partition("=")
    return f"{option}{sign}{PurePosixPath(value).name or value}" if value.startswith("/") else word
