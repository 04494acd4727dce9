"""Progress bars: after a second, on a terminal, one at a time."""

from __future__ import annotations

import fcntl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers.terminal import on_terminal

from leukemia.base import checksums, locks, progress
from leukemia.base.threads import completed


@pytest.mark.parametrize("total", [3, None])
def test_a_bar_appears_before_the_first_step_is_done(total: int | None) -> None:
    """As with a few huge images, or a folder on a slow disk."""
    with on_terminal() as terminal:
        with progress.bar("reading images", total) as advance:
            terminal.wait_for("reading images")
            advance()
        with progress.bar("once more"):
            terminal.wait_for("once more")


def test_nothing_appears_before_the_delay() -> None:
    before = set(threading.enumerate())
    with on_terminal(delay_seconds=3600.0) as terminal:
        assert dict(completed(str, [1, 2], "reading images")) == {1: "1", 2: "2"}
    assert terminal.getvalue() == ""
    # Threads of earlier tests may have ended meanwhile.
    assert set(threading.enumerate()) <= before


def test_nothing_appears_in_a_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    for _ in completed(lambda item: time.sleep(0.1), [1, 2], "reading images"):
        pass
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_frees_the_terminal() -> None:
    def interrupted() -> None:
        with progress.bar("reading images"):
            terminal.wait_for("reading images")
            raise KeyboardInterrupt

    with on_terminal() as terminal:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        with progress.bar("once more"):
            terminal.wait_for("once more")


def test_a_bar_leaves_the_terminal_to_what_is_drawn_on_it() -> None:
    """Two live displays would overwrite each other: bars within bars, or within the table of a search."""
    with on_terminal() as terminal:
        with progress.drawing(), progress.bar("within the table"):
            time.sleep(0.1)
        with progress.bar("outer"), progress.bar("inner"):
            terminal.wait_for("outer")
    assert "within the table" not in terminal.getvalue()
    assert "inner" not in terminal.getvalue()


def test_waiting_for_another_command_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with path.open("a") as held, on_terminal() as terminal, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)

        def release() -> None:
            try:
                terminal.wait_for("waiting for another command")
            finally:
                fcntl.flock(held, fcntl.LOCK_UN)

        released = pool.submit(release)
        with locks.locked(path):
            released.result()


def test_the_check_of_a_large_file_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(bytes(100))
    checksums.append_checksums(path)
    digest = checksums._digest

    def slow(*arguments: Any) -> bytes:
        # The first block is also read before, to see whether the file is that of another place.
        if len(arguments) == 3:
            terminal.wait_for("computing checksums")
        return digest(*arguments)

    monkeypatch.setattr(checksums, "_digest", slow)
    with on_terminal() as terminal:
        assert checksums.check(path) == "intact"
