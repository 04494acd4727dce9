"""What the user writes in a file for an option, or as the option's value itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import read_file
from leukemia.base.yaml_text import InvalidYaml, StrictLoader, parse


def name_of(option: str, value: str, bracket: str) -> str:
    """An option with its file, for messages; without, if the value begins with the bracket, and so is the content."""
    return option if value.lstrip().startswith(bracket) else f"{option} {value}"


def content_of(name: str, value: str, bracket: str, expected: str) -> Any:
    """The content of a file as YAML, or of a value that begins with the bracket.

    Args:
        name: as ``name_of``.
        expected: what the file should be, for the message.

    Raises:
        MissingFile: there is no such file.
        UserError: it is no YAML.
    """
    text = value
    if not value.lstrip().startswith(bracket):
        path = Path(value)
        if not path.is_file():
            raise MissingFile(f"{name}: no such file; expected {expected}")
        text = read_file(path).decode("utf-8", errors="replace")
    try:
        return parse(text, StrictLoader)
    except InvalidYaml as error:
        raise UserError(f"{name}: expected YAML: {error}") from None
