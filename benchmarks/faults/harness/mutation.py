"""A single changed byte in a file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """One byte of one file, replaced by another."""

    path: Path
    """Relative to the folder of all files."""

    offset: int
    old: int
    new: int

    @classmethod
    def draw(cls, folder: Path, paths: Sequence[Path], generator: random.Random) -> Mutation:
        """A random byte of a random file: each file is as likely as any other, whatever its size.

        In a text, digits become other digits half of the time: other bytes are mostly noticed by any parser.

        Args:
            paths: of non-empty files, relative to ``folder``.
        """
        path = generator.choice(paths)
        content = (folder / path).read_bytes()
        offset = generator.randrange(len(content))
        digits = [place for place, byte in enumerate(content[:100_000]) if 48 <= byte <= 57]
        if path.suffix in TEXTS and digits and generator.random() < 0.5:
            offset = generator.choice(digits)
            new = generator.choice([byte for byte in range(48, 58) if byte != content[offset]])
        else:
            new = generator.choice([byte for byte in range(256) if byte != content[offset]])
        return cls(path, offset, content[offset], new)

    def apply(self, folder: Path) -> None:
        """Change the file in a folder."""
        with (folder / self.path).open("r+b") as stream:
            stream.seek(self.offset)
            stream.write(bytes([self.new]))

    def describe(self) -> str:
        """File, place and both bytes as text."""
        return f"{self.path} byte {self.offset}: {bytes([self.old])!r} to {bytes([self.new])!r}"


TEXTS = (".json", ".csv", ".journal")
