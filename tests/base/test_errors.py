"""How commands end: output whose reader goes away, and errors of the operating system and of memory in one line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leukemia.base.errors import ADVICE

PRINTS = """
import sys
from pathlib import Path
from leukemia.base.errors import run_command

def main(argv):
    %s
    Path("finished").touch()
    return 0

run_command(main)
"""
MANY = "for number in range(50_000): print('line', number)"
RICH = "from rich.console import Console; console = Console(); [console.print('line') for _ in range(20_000)]"
ERRORS = "for number in range(50_000): print('line', number, file=sys.stderr)"


def run(body: str, folder: Path, *redirected: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose ``main`` is ``body``, with redirections of a shell."""
    command = ["sh", "-c", f'exec "$@" {" ".join(redirected)}', "sh", sys.executable, "-c", PRINTS % body]
    return subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True)


@pytest.mark.parametrize("body", [MANY, RICH, ERRORS])
def test_a_command_finishes_its_work_when_its_reader_goes_away(body: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PRINTS % body]
    kept = None if body == ERRORS else subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=kept or subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("line")
        process.stdout.close()
        assert process.stderr is None or process.stderr.read() == ""
        assert process.wait(60) == 0
    assert (tmp_path / "finished").exists()


@pytest.mark.parametrize("body", ["print('line')", MANY])
def test_a_full_disk_below_the_output_is_an_error_after_the_work(body: str, tmp_path: Path) -> None:
    ended = run(body, tmp_path, ">/dev/full")
    line = f"error: standard output: No space left on device, so a part is missing; {ADVICE[errno.ENOSPC]}\n"
    assert (ended.returncode, ended.stderr) == (2, line)
    assert (tmp_path / "finished").exists()


def test_full_disks_below_both_outputs_set_the_status(tmp_path: Path) -> None:
    assert run("print('line')", tmp_path, ">/dev/full", "2>/dev/full").returncode == 2
    assert (tmp_path / "finished").exists()


def test_a_command_finishes_its_work_when_its_terminal_is_closed(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    body = "import time; print('line', flush=True); time.sleep(1); print('line', flush=True)"
    command = [sys.executable, "-c", PRINTS % body]
    with subprocess.Popen(command, cwd=tmp_path, stdout=terminal, stderr=subprocess.PIPE, text=True) as process:
        os.close(terminal)
        assert os.read(controller, 4) == b"line"
        os.close(controller)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert (tmp_path / "finished").exists()


@pytest.mark.parametrize("closed", [(">&-",), ("2>&-",), (">&-", "2>&-")])
def test_closed_output_is_discarded(closed: tuple[str, ...], tmp_path: Path) -> None:
    ended = run("print('line'); print('line', file=sys.stderr)", tmp_path, *closed)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "finished").exists()


def test_characters_that_the_encoding_lacks_are_escaped(tmp_path: Path) -> None:
    ended = run(r"print('caf\u00e9 \u0416')", tmp_path, PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "caf\\xe9 \\u0416\n", "")


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        ("MemoryError()", f"out of memory; {ADVICE[errno.ENOMEM]}"),
        ('RuntimeError("can\'t start new thread")', f"can't start new thread; {ADVICE[errno.EAGAIN]}"),
        (
            "RuntimeError('[...] DefaultCPUAllocator: not enough memory')",
            f"[...] DefaultCPUAllocator: not enough memory; {ADVICE[errno.ENOMEM]}",
        ),
        (
            # As torch.OutOfMemoryError, which is a RuntimeError.
            "RuntimeError('CUDA out of memory. Tried to allocate 2 GiB.')",
            "CUDA out of memory. Tried to allocate 2 GiB; end other programs on the device, choose another --device, "
            "or lower train.batch_size",
        ),
        (
            "FileNotFoundError(2, 'No such file or directory', 'a.csv')",
            f"a.csv: No such file or directory; {ADVICE[2]}",
        ),
        ("OSError(107, 'Transport endpoint is not connected')", "Transport endpoint is not connected; the network, or"),
        ("TimeoutError(110, 'Connection timed out')", "Connection timed out; the network, or a disk on it, is not"),
    ],
)
def test_an_error_of_the_machine_is_one_line_and_status_2(raised: str, line: str, tmp_path: Path) -> None:
    ended = run(f"raise {raised}", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {line}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("raised", ["RuntimeError('internal bug')", "FileNotFoundError(2, 'No such file')"])
def test_an_internal_error_keeps_its_traceback(raised: str, tmp_path: Path) -> None:
    ended = run(f"raise {raised}", tmp_path)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_a_working_directory_that_was_removed_is_named(tmp_path: Path) -> None:
    gone, code = tmp_path / "gone", "from leukemia.base.errors import run_command; run_command(lambda argv: 0)"
    gone.mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; exec "$0" -c "$1"', sys.executable, code],
        cwd=gone,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: the working directory cannot be used (No such file or directory); change to another one\n"
    )
