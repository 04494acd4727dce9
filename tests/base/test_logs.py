"""Log records of both packages go to the handlers of the innermost context, and the loggers are restored."""

from __future__ import annotations

import ast
import contextlib
import logging
from pathlib import Path

import pytest

from leukemia.base.errors import run_command
from leukemia.base.logs import PACKAGES, StderrHandler, logging_to

ROOT = Path(__file__).parents[2]


class Recorder(logging.Handler):
    """Records messages."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def state() -> list[tuple[list[logging.Handler], int, bool]]:
    loggers = [logging.getLogger(name) for name in PACKAGES]
    return [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]


def test_records_of_both_packages_reach_the_handlers_once_and_the_loggers_are_restored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, everything, warnings = state(), Recorder(), Recorder(logging.WARNING)
    with contextlib.suppress(KeyError), logging_to(everything, warnings):
        logging.getLogger("leukemia.training.train").warning("damaged")
        logging.getLogger("search.trials.display").info("trial 0")
        logging.getLogger("search.trials.display").debug("too detailed")
        logging.getLogger("another.package").error("unrelated")
        raise KeyError
    assert everything.messages == ["damaged", "trial 0"]
    assert warnings.messages == ["damaged"]
    assert [record.getMessage() for record in caplog.records] == ["unrelated"]
    assert state() == before


def test_the_innermost_context_receives_the_records() -> None:
    outer, inner, log = Recorder(), Recorder(), logging.getLogger("leukemia.data.images")
    with logging_to(outer):
        log.warning("first")
        with logging_to(inner):
            log.warning("second")
        log.warning("third")
    assert (outer.messages, inner.messages) == (["first", "third"], ["second"])


def test_a_command_prints_warnings_to_stderr_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    before = state()

    def main(argv: list[str] | None) -> int:
        log = logging.getLogger("leukemia.data.images")
        log.info("not shown")
        log.warning("%s is damaged; building it again", "view [1].npy")
        print("done")
        return 0

    with pytest.raises(SystemExit):
        run_command(main)
    assert capsys.readouterr() == ("done\n", "warning: view [1].npy is damaged; building it again\n")
    assert state() == before


def test_stderr_is_looked_up_when_the_handler_is_created(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(StderrHandler()):
        logging.getLogger("search.run").error("lost")
    assert capsys.readouterr().err == "error: lost\n"


def test_loggers_are_named_after_their_modules() -> None:
    """A logger with another name is outside both packages, or hides the source of its records."""
    named: dict[str, str] = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            # Loggers that are not assigned are only silenced.
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("logging.getLogger("):
                named[str(path.relative_to(ROOT))] = ast.unparse(node.value)
    assert len(named) > 10
    others = {path: name for path, name in named.items() if name != "logging.getLogger(__name__)"}
    assert others == {"leukemia/tracking/client.py": "logging.getLogger('wandb')"}
    assert not [path for path in named if '__name__ == "__main__"' in (ROOT / path).read_text(encoding="utf-8")]
