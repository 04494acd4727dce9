"""Ctrl-C, SIGTERM and SIGHUP in every phase of a command: while it imports, runs, and exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from leukemia.base import interrupts

ROOT = Path(__file__).parents[2]

by_signal = pytest.mark.parametrize("number", interrupts.SIGNALS, ids=lambda number: number.name)

RUN = """
import os, signal, sys, threading, time
from leukemia.base import interrupts
from leukemia.base.errors import UserError, run_command
number = int(sys.argv[1])

def interrupted(argv):
    os.kill(os.getpid(), number)

def import_failed(argv):
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        raise ImportError("numpy's C extensions failed to import")

def refused(argv):
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        raise UserError("the file cannot be read")

def resumable(argv):
    with interrupts.resumable("continue with --resume"):
        os.kill(os.getpid(), number)

def while_cleaning_up(argv):
    try:
        with interrupts.resumable("continue with --resume"):
            os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        interrupts.conclude("continue with --resume")
        raise SystemExit(130)
    finally:
        os.kill(os.getpid(), number)

def exiting(argv):
    # Python waits for the thread when it exits.
    threading.Thread(target=lambda: (time.sleep(0.2), os.kill(os.getpid(), number), time.sleep(60))).start()
    return 3

def not_interrupted(argv):
    os.kill(os.getpid(), number)
    with interrupts.handled():
        os.kill(os.getpid(), number)
    print("not interrupted")
    return 0

run_command(globals()[sys.argv[2]])
"""


def run(code: str, *arguments: str, number: signal.Signals, ignored: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, which starts with the signal at its default or ignored."""

    def prepare() -> None:
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)

    return subprocess.run(
        [sys.executable, "-c", code, str(int(number)), *arguments],
        capture_output=True,
        text=True,
        preexec_fn=prepare,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
    )


@by_signal
def test_a_swallowed_interrupt_is_raised_again(number: signal.Signals) -> None:
    with interrupts.handled():
        interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert interrupts.requested()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


@by_signal
def test_an_interrupt_that_compiled_code_swallows_prints_nothing(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with interrupts.handled():
        interrupted = type("Interrupted", (), {})()
        reference = weakref.ref(interrupted, lambda _: os.kill(os.getpid(), number))
        del interrupted
        assert reference() is None
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert capfd.readouterr().err == ""


def test_handlers_are_restored_and_a_new_command_starts_without_a_request() -> None:
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]
    with interrupts.handled(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before
    with interrupts.handled():
        interrupts.check()


def test_a_conclusion_ends_with_its_command() -> None:
    with interrupts.handled():
        interrupts.conclude("the results are in runs/one")
        with pytest.raises(interrupts.Interrupted, match=r"^the results are in runs/one$"), interrupts.resumable("x"):
            os.kill(os.getpid(), signal.SIGINT)
    with interrupts.handled(), pytest.raises(interrupts.Interrupted, match=r"^x$"), interrupts.resumable("x"):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_nested_block_replaces_a_librarys_handlers_and_keeps_the_request() -> None:
    received: list[int] = []
    with interrupts.handled():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        signal.signal(signal.SIGTERM, lambda signum, frame: received.append(signum))
        with interrupts.handled(), pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert received == []
        assert interrupts.requested()


@by_signal
@pytest.mark.parametrize(
    ("phase", "line"),
    [
        ("interrupted", "run the same command again"),
        ("import_failed", "run the same command again"),
        ("refused", "run the same command again"),
        ("resumable", "continue with --resume"),
        ("while_cleaning_up", "continue with --resume"),
    ],
)
def test_an_interrupted_command_prints_how_to_resume(number: signal.Signals, phase: str, line: str) -> None:
    ended = run(RUN, phase, number=number)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", f"\ninterrupted; {line}\n")


@by_signal
def test_a_signal_ends_a_process_that_hangs_while_it_exits(number: signal.Signals) -> None:
    ended = run(RUN, "exiting", number=number)
    assert (ended.returncode, ended.stderr) == (-number, "")


@by_signal
def test_an_ignored_signal_stays_ignored(number: signal.Signals) -> None:
    """As started by ``nohup``, or in the background of a script."""
    ended = run(RUN, "not_interrupted", number=number, ignored=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "not interrupted\n", "")


def test_errors_without_a_request_are_not_interrupts() -> None:
    with pytest.raises(ImportError), interrupts.resumable("run it again"):
        raise ImportError


INTERRUPT_IMPORT = """
import os, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "pandas", "torch", "yaml", "ray") and "numpy" not in sys.modules:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(os.environ["INTERRUPT_WITH"]))

sys.meta_path.insert(0, Interrupting())
"""
"""A ``sitecustomize`` that interrupts the first import of a heavy library."""

COMMANDS = {
    "leukemia.catalog": "data",
    "leukemia.final": "--best",
    "leukemia.leakcheck": "",
    "leukemia.predict": "--model model image.png",
    "leukemia.report": "",
    "leukemia.sample": "",
    "leukemia.tracking": "publish study",
    "search.preflight": "cluster.yaml",
    "search.run": "",
}


@pytest.mark.parametrize(
    ("command", "number"),
    [(command, interrupts.SIGNALS[index % 3]) for index, command in enumerate(COMMANDS)]
    + [("search.run", signal.SIGINT), ("search.run", signal.SIGTERM)],
)
def test_commands_can_be_interrupted_while_they_import(command: str, number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT_IMPORT)
    (tmp_path / "cluster.yaml").write_text("{}")
    ended = subprocess.run(
        [sys.executable, "-m", command, *COMMANDS[command].split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "INTERRUPT_WITH": str(int(number))},
        preexec_fn=default_signals,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "\ninterrupted; run the same command again\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.yaml", "sitecustomize.py"]


def default_signals() -> None:
    for number in interrupts.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
