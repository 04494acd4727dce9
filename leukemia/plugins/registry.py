"""The plug-ins of this process: files that were named, and what they have registered.

Whoever names a file lets it run, with all rights of their own; nothing else ever runs one.
"""

from __future__ import annotations

import linecache
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from leukemia.base.checksums import sha256_of
from leukemia.base.errors import UserError, first_line
from leukemia.config.plugins import Declared, Kind, declare
from leukemia.config.recipe import Recipe
from leukemia.plugins.plugin_file import PluginFile
from leukemia.plugins.registration import Registered, running

# Otherwise albumentations, if a plug-in imports it, checks a server for a newer version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

_files: dict[str, PluginFile] = {}
_registered: dict[tuple[str, str], Registered] = {}
"""By the SHA-256 of the file, and by that and the name."""


def load_named(paths: Iterable[Path]) -> tuple[PluginFile, ...]:
    """Read and run the files of ``--plugin``, so that recipes can use what they register.

    Raises:
        UserError: as ``PluginFile.read`` and ``load``, or two files have the same name.
    """
    files = tuple(dict.fromkeys(PluginFile.read(path) for path in paths))
    names = [file.name for file in files]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--plugin: two files are called {twice[0]}; rename one of them")
    load(files)
    return files


def load(files: Sequence[PluginFile]) -> None:
    """Run files, once each in a process, and declare the names that they register.

    Raises:
        UserError: a file cannot be run, registers nothing, or a name that another one of these has.
    """
    owner: dict[str, PluginFile] = {}
    for file in files:
        for name, found in _run(file).items():
            if name in owner:
                raise UserError(
                    f"--plugin: {owner[name].name} and {file.name} both register {name!r}; rename one of them"
                )
            owner[name] = file
            declare(Declared(kind=found.kind, name=name, sha256=file.sha256, file=file.name, defaults=found.defaults))


def _run(file: PluginFile) -> dict[str, Registered]:
    """What a file registers, by name; it is run unless this process has done so."""
    sha256 = file.sha256
    if sha256 not in _files:
        found = _executed(file)
        _files[sha256] = file
        _registered.update({(sha256, name): each for name, each in found.items()})
    return {name: _registered[sha256, name] for name in names_in(file)}


def _executed(file: PluginFile) -> dict[str, Registered]:
    shown = f"plug-in {file.name}"
    module = types.ModuleType(f"leukemia_plugin_{file.sha256[:16]}")
    module.__file__ = shown
    # Classes are found by their module's name, and source lines for tracebacks by that of the file.
    sys.modules[module.__name__] = module
    linecache.cache[shown] = (len(file.text), None, file.text.splitlines(keepends=True), shown)
    found: dict[str, Registered] = {}
    token = running.set(found)
    try:
        exec(compile(file.text.encode(), shown, "exec", dont_inherit=True), module.__dict__)
    except Exception as error:
        del sys.modules[module.__name__]
        raise UserError(f"--plugin {file.name}{_line_of(error, shown)}: {_described(error)}") from error
    finally:
        running.reset(token)
    if not found:
        raise UserError(
            f"--plugin {file.name}: it registers nothing; expected a function below @network, @optimizer or "
            "@augmentation of leukemia.plugins"
        )
    return found


def _line_of(error: Exception, shown: str) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == shown]
    return f", line {lines[-1]}" if lines else ""


def _described(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"it needs the package {error.name}, which is not installed; install it on every machine that trains"
    return f"{type(error).__name__}: {first_line(error)}; correct the file"


def names_in(file: PluginFile) -> dict[str, Kind]:
    """The names that a file has registered, with their kinds; the file has been run."""
    return {name: each.kind for (of, name), each in _registered.items() if of == file.sha256}


def file_of(sha256: str) -> PluginFile | None:
    """The loaded file with this SHA-256; None if this process has not run it."""
    return _files.get(sha256)


def builder_of(recipe: Recipe, name: str, kind: Kind) -> Callable[..., Any]:
    """The function that the recipe's file has registered under a name.

    Raises:
        UserError: as ``require_loaded``.
    """
    require_loaded(recipe, [name])
    return _registered[dict(recipe.plugins)[name], name].build


def require_loaded(recipe: Recipe, names: Iterable[str] | None = None, copies: Path | None = None) -> None:
    """Check that the files of a recipe's plug-ins have been run in this process: those very files.

    Args:
        names: of the plug-ins that are needed; None: all.
        copies: a folder that has copies of the files, to be named in the message.

    Raises:
        UserError: one has not, or one with another text has.
    """
    recorded = dict(recipe.plugins)
    for name in recorded if names is None else names:
        sha256 = recorded[name]
        if sha256 in _files:
            continue
        others = [file.name for of, file in _files.items() if (of, name) in _registered]
        what = f"the plug-in {name!r} of this recipe is a file with SHA-256 {sha256[:16]}..."
        if others:
            raise UserError(
                f"{what}, and --plugin {others[-1]} has another text; name the file that it was trained with"
                f"{_copy_text(sha256, copies)}"
            )
        raise UserError(
            f"{what}, which has not been named; name it with --plugin FILE.py, which runs it with all your rights"
            f"{_copy_text(sha256, copies)}"
        )


def check_used(files: Iterable[PluginFile], used: Iterable[str], what: str) -> None:
    """Check that every file that was named has an effect.

    Args:
        used: the names of all plug-ins in use.
        what: that uses them, such as ``the model``.

    Raises:
        UserError: nothing of a file is used.
    """
    wanted = set(used)
    for file in files:
        names = sorted(names_in(file))
        if not wanted & set(names):
            raise UserError(
                f"--plugin {file.name}: {what} uses nothing of it ({', '.join(names)}); leave it out, or use it"
            )


def check_files(files: Iterable[PluginFile], recipe: Recipe, what: str) -> None:
    """Check that files that were named are those that a recipe was trained with.

    Args:
        what: that has the recipe, such as ``the model``.

    Raises:
        UserError: the recipe uses nothing of one, or has another text of it.
    """
    files, recorded = tuple(files), dict(recipe.plugins)
    check_used(files, recorded, what)
    for file in files:
        for name in names_in(file).keys() & recorded.keys():
            if recorded[name] != file.sha256:
                raise UserError(
                    f"--plugin {file.name}: {what} was trained with another text of the plug-in {name!r} (SHA-256 "
                    f"{recorded[name][:16]}..., got {file.sha256[:16]}...); name that one"
                )


def copy_of(sha256: str, folder: Path) -> Path | None:
    """The copy of a plug-in in a folder, found by its SHA-256; nothing is run. None if there is none."""
    found = [path for path in sorted(folder.glob("*.py")) if path.is_file() and sha256_of(path) == sha256]
    return found[0] if found else None


def _copy_text(sha256: str, copies: Path | None) -> str:
    """Where a copy of a plug-in is, for messages; empty if there is none."""
    path = None if copies is None else copy_of(sha256, copies)
    return "" if path is None else f"; a copy is {path}"
