"""search.log contains all records, the terminal shows warnings, and loggers are restored afterwards."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import pytest
from rich.console import Console

from leukemia.base.logs import PACKAGES
from leukemia.study.layout import LOG
from search.trials.study_log import study_log

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (.*)")


def console_of() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=False, width=40, _environ={}), stream


def messages(folder: Path) -> list[str]:
    """The lines of the log without timestamps."""
    found = [LINE.fullmatch(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    assert None not in found
    return [line[1] for line in found if line]


def test_everything_is_logged_and_warnings_are_printed(tmp_path: Path) -> None:
    console, stream = console_of()
    with study_log(tmp_path, console):
        logging.getLogger("search.run").info("command: python -m search.run")
        logging.getLogger("leukemia.tracking.tracker").warning("W&B [is] unreachable, and this line is longer than 40")
        logging.getLogger("search.run").error("disk failure")
    assert stream.getvalue() == "warning: W&B [is] unreachable, and this line is longer than 40\n"
    assert messages(tmp_path) == [
        "INFO command: python -m search.run",
        "WARNING W&B [is] unreachable, and this line is longer than 40",
        "ERROR disk failure",
    ]


def test_two_searches_in_one_process_have_separate_logs(tmp_path: Path) -> None:
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in map(logging.getLogger, PACKAGES)]
    log, shown = logging.getLogger("search.trials.driver"), []
    for name in ("first", "second"):
        console, stream = console_of()
        (tmp_path / name).mkdir()
        with study_log(tmp_path / name, console):
            log.warning("trial of the %s", name)
        shown.append(stream.getvalue())
    log.warning("after both")
    assert shown == ["warning: trial of the first\n", "warning: trial of the second\n"]
    assert messages(tmp_path / "first") == ["WARNING trial of the first"]
    assert messages(tmp_path / "second") == ["WARNING trial of the second"]
    after = [(list(logger.handlers), logger.level, logger.propagate) for logger in map(logging.getLogger, PACKAGES)]
    assert after == before


def test_a_resumed_study_appends_to_its_log(tmp_path: Path) -> None:
    for message in ("started", "resumed"):
        with study_log(tmp_path, console_of()[0]):
            logging.getLogger("search.run").info(message)
    assert messages(tmp_path) == ["INFO started", "INFO resumed"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_prints_no_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / LOG).symlink_to("/dev/full")
    log = logging.getLogger("search.run")
    with study_log(tmp_path, console_of()[0]):
        log.info("one")
        log.info("two")
    assert capfd.readouterr() == ("", "")
    assert log.parent is not None
    assert not log.parent.handlers
