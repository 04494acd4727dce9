"""Faults of the driver's machine end a search in one line, with status 1 and how to resume it."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.studies import info_of
from helpers.worlds import World
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.base.faults import MachineFault
from leukemia.data.catalog import Catalog
from leukemia.data.images import open_images
from leukemia.data.view import View
from leukemia.study.folder import Study
from search.launch.arguments import not_remembered, parse
from search.launch.ending import closing, explained
from search.launch.messages import describe_devices
from search.launch.search import _repair_images


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/epochs.csv"),
            "No space left on device: runs/epochs.csv",
        ),
        (OSError(errno.EIO, "Input/output error", "optuna.journal"), "Input/output error: optuna.journal"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), "Permission denied: runs"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
        (MemoryError(), "out of memory"),
        (MachineFault("the images have changed"), "the images have changed"),
    ],
)
def test_a_search_ends_in_one_line_that_names_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    study = Study.create(tmp_path / "study", info_of())
    with pytest.raises(SystemExit) as ended, study.lock(), explained(Console(), study, []):
        raise error
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        f"error: {line}; finished folds are kept. Resume with:\n"
        f"  python -m search.run --resume --study study --runs {tmp_path}\n"
    )
    with study.lock():
        """It was released."""


@pytest.mark.parametrize(
    ("given", "cpu_threads", "options"),
    [
        ("", None, ""),
        ("--device auto --trials 3 --cpus-per-trial 2", 2, ""),
        ("--device cpu --cpus-per-trial 2", 2, " --device cpu"),
        (
            "--max-gpus 3 --cpus-per-trial 4 --gpus-per-trial 0.5 --paused-gb 2.5 --address a:6379",
            None,
            " --address a:6379 --gpus-per-trial 0.5 --max-gpus 3 --paused-gb 2.5 --cpus-per-trial 4",
        ),
        ("--gpus-per-trial auto --device cuda", None, " --device cuda --gpus-per-trial auto"),
        ("--address 'ray head'", None, " --address 'ray head'"),
    ],
)
def test_the_command_to_resume_has_what_the_study_does_not_remember(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, cpu_threads: int | None, options: str
) -> None:
    study = Study.create(tmp_path / "my runs" / "study", info_of(cpu_threads=cpu_threads))
    arguments = not_remembered(parse(shlex.split(given)), study.info)
    with pytest.raises(SystemExit), explained(Console(), study, arguments):
        raise MachineFault("the images have changed")
    command = capsys.readouterr().err.splitlines()[-1]
    assert command == f"  python -m search.run --resume --study study --runs '{tmp_path / 'my runs'}'{options}"


def test_a_study_that_is_resumed_on_another_kind_of_device_is_warned_about(
    tmp_path: Path, tiny_catalog: Catalog
) -> None:
    world = World(tmp_path / "study", tiny_catalog, trials=1)
    assert describe_devices(world.study, "cuda") == ""
    world.run()
    assert describe_devices(world.study, "cpu") == ""
    assert describe_devices(world.study, "cuda").startswith(
        "warning: finished folds of this study were computed on cpu, the next ones will be on cuda: "
    )


def test_other_errors_are_internal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study.create(tmp_path / "study", info_of())
    with pytest.raises(SystemExit), explained(Console(), study, []):
        raise RuntimeError("internal bug")
    assert "error: RuntimeError: internal bug; the traceback is in " in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("is now run by another head")])
def test_an_incomplete_mirror_is_reported_after_a_search_that_ends_early(
    capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    incomplete = "storage: the study is not completely uploaded to s3://bucket/study"
    mirror: Any = SimpleNamespace(close=lambda *, finished: incomplete)
    with pytest.raises(type(error)), closing(Console(), mirror):
        raise error
    assert capsys.readouterr().out == f"{incomplete}\n"


def test_the_error_of_a_mirror_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    mirror: Any = SimpleNamespace(close=lambda *, finished: "is now run by another head")
    with pytest.raises(UserError, match="another head"), closing(Console(), mirror):
        raise UserError("is now run by another head")
    assert capsys.readouterr().out == ""


def test_deleted_images_are_built_again(tiny_catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path))
    plan: Any = SimpleNamespace(catalog=tiny_catalog, view=View(crop_px=32, size_px=32))
    path = Path(open_images(plan.catalog, plan.view).filename)  # type: ignore[attr-defined]
    content = path.read_bytes()
    for damage in (lambda: shutil.rmtree(path.parent), lambda: path.write_bytes(content[:-9]), path.unlink):
        damage()
        _repair_images(plan, False)
        assert path.read_bytes() == content
    path.unlink()
    plan.catalog.table.loc[3, "path"] = str(tmp_path / "missing.png")
    with pytest.raises(MachineFault, match=r"^1 of 48 images has changed .*: missing$"):
        _repair_images(plan, False)


def test_images_are_read_again_after_a_crash(
    tiny_catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk ends the process that reads it through a memory map, and is found by reading the file."""
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path))
    plan: Any = SimpleNamespace(catalog=tiny_catalog, view=View(crop_px=32, size_px=32))
    open_images(plan.catalog, plan.view)
    _repair_images(plan, True)

    def failing(*arguments: Any) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", failing)
    _repair_images(plan, False)
    with pytest.raises(OSError, match="Input/output error"):
        _repair_images(plan, True)


def test_how_to_resume_is_printed_without_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study.create(tmp_path / "my \x1b[31mruns" / "one", info_of())
    with pytest.raises(SystemExit, match="130"), explained(Console(width=200), study, []):
        raise KeyboardInterrupt
    output = capsys.readouterr().out
    assert "Resume with:\n  python -m search.run --resume --study one --runs '" in output
    assert "my \\x1b[31mruns'" in output
