"""``config.yaml``: the options of a search as a file, which every study writes and ``--config`` reads."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import read_file, write_text
from leukemia.base.yaml_text import InvalidYaml, StrictLoader, dumped, parse
from leukemia.data.location import SAMPLE
from leukemia.study import layout
from leukemia.study.field_types import GRID
from leukemia.study.schema import SearchOptions, StudyInfo
from search.launch.options import Options, arguments_of
from search.planning.request import OF_SEARCHES

SET = "set"
"""Name of ``--set`` in a file; from Python it is ``settings``."""

COMMAND_LINE = ("config", "resume", "settings", "plugin", "plugins")
"""Keywords of ``search.search`` that no file has. Plug-ins run as soon as they are named, which a file that comes from
elsewhere must not do."""

KEYS = ("data", SET, *(name for name in Options.__annotations__ if name not in COMMAND_LINE))
"""Options that a file may have: all but those that say what to do now."""

_HEADER = "# The options of this study. Another one with them: python -m search.run --config {path}{plugins}\n"


def with_config(argv: Sequence[str]) -> list[str]:
    """The command line with the options of its ``--config`` before its own, which therefore take precedence.

    A field of ``--set`` or ``--search`` on the command line replaces those of the file for the same field.

    Raises:
        UserError: the file is missing, is no YAML, or has an unknown option.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config")
    for flag in ("--set", "--search"):
        finder.add_argument(flag, action="append", default=[])
    try:
        found, _ = finder.parse_known_args(list(argv))
    except argparse.ArgumentError:
        # An option without its value: the whole parser says so.
        return list(argv)
    if found.config is None:
        return list(argv)
    own = {text.partition("=")[0].strip() for text in (*found.set, *found.search)}
    return [*_words(found.config, own), *argv]


def _words(name: str, own: set[str]) -> list[str]:
    content = _content(name)
    for key in (SET, "search"):
        if not isinstance(fields := content.get(key) or {}, Mapping):
            raise UserError(f"--config {name}: {key}: expected fields and their values, got {fields!r}")
        content[key] = {field: value for field, value in fields.items() if field not in own}
    data, options = content.pop("data", None), {**content, "settings": content[SET]}
    del options[SET]
    return arguments_of(data, options)  # type: ignore[arg-type]


def _content(name: str) -> dict[str, Any]:
    path = Path(name)
    if not path.is_file():
        raise MissingFile(f"--config {name}: no such file; expected options by name, such as trials: 50")
    try:
        content = parse(read_file(path).decode("utf-8", errors="replace"), StrictLoader)
    except InvalidYaml as error:
        raise UserError(f"--config {name}: expected YAML: {error}") from None
    if not isinstance(content, Mapping):
        raise UserError(f"--config {name}: expected options by name, such as trials: 50, got {str(content)[:60]!r}")
    found = {str(key).replace("-", "_"): value for key, value in content.items()}
    if unknown := [key for key in found if key not in KEYS]:
        near = difflib.get_close_matches(unknown[0], KEYS, n=3)
        only = "it belongs on the command line" if unknown[0] in (*COMMAND_LINE, "dry_run") else ""
        hint = only or f"did you mean {', '.join(near)}?" if near or only else f"the options are {', '.join(KEYS)}"
        raise UserError(f"--config {name}: unknown option {unknown[0]!r}; {hint}")
    if len(found) < len(content):
        raise UserError(f"--config {name}: an option is given twice, with - and with _; give it once")
    return found


def config_of(info: StudyInfo) -> dict[str, Any]:
    """The options that run a study again, in the order of the file; those of hardware are not recorded in a study."""
    also = list(info.data.also or ())
    data = {} if info.data.uri == SAMPLE else {"data": [info.data.uri, *also] if also else info.data.uri}
    reading = {name: _plain(value) for name, value in info.data.given().items() if name != "also"}
    options = {
        field.name: _plain(getattr(info, field.name))
        for field in dataclasses.fields(SearchOptions)
        if field.name not in ("settings", "asked", "plugins")
        and (info.sampler != GRID or field.name not in ("trials", *OF_SEARCHES))
    }
    kept = {name: value for name, value in options.items() if value not in (None, [], math.inf)}
    if info.sampler != GRID:
        # No rungs is a choice, too.
        kept["rungs"] = ",".join(map(str, info.rungs))
    threads = {} if info.cpu_threads is None else {"cpus_per_trial": info.cpu_threads}
    settings = {SET: dict(info.settings)} if info.settings else {}
    space = {"space": _plain(info.asked)} if info.asked else {}
    return {**data, **reading, **kept, **threads, **settings, **space}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def write_config(folder: Path, info: StudyInfo) -> None:
    """Write the file of a study; unchanged content is not written again."""
    path = folder / layout.CONFIG
    files = dict.fromkeys(plugin.file for plugin in info.plugins.values())
    named = "".join(f" --plugin {layout.PLUGINS}/{file}" for file in files)
    text = _HEADER.format(path=layout.CONFIG, plugins=named) + dumped(config_of(info))
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
