"""A plug-in's file as text, with its SHA-256: so it travels to workers, and is kept with a study and a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import read_file, write_text
from leukemia.config.plugins import FILE_NAME

MOST_BYTES = 1_000_000
"""A plug-in travels to every worker, and a longer file is no source text."""


@dataclass(frozen=True, kw_only=True)
class PluginFile:
    """The text of a file that was named with ``--plugin``, or one that came from there."""

    name: str
    """Of the file, without its folder."""

    text: str

    @property
    def sha256(self) -> str:
        """Of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def read(cls, path: Path) -> PluginFile:
        """Read a file; nothing is run.

        Raises:
            MissingFile: there is no such file.
            UserError: it is not the source of a Python module.
        """
        if not path.is_file():
            raise MissingFile(f"--plugin {path}: no such file; expected a Python file, as docs/plugins.md describes it")
        if not FILE_NAME.fullmatch(path.name):
            raise UserError(
                f"--plugin {path}: expected a name of letters, digits, '_' and '-' that ends in .py; rename the file"
            )
        content = read_file(path)
        if len(content) > MOST_BYTES:
            raise UserError(f"--plugin {path}: expected at most {MOST_BYTES:,} bytes of Python, got {len(content):,}")
        try:
            return cls(name=path.name, text=content.decode())
        except UnicodeDecodeError:
            raise UserError(f"--plugin {path}: expected Python source in UTF-8; save the file in UTF-8") from None

    def write(self, folder: Path) -> None:
        """Write the text to a folder, byte for byte as it was read, under its name."""
        folder.mkdir(exist_ok=True)
        write_text(folder / self.name, self.text)
