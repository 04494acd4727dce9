"""Values in messages can neither control a terminal nor forge a line, in every channel."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from leukemia.base import cli
from leukemia.base.errors import UserError, listed, run_command
from leukemia.base.logs import FileFormatter, logging_to
from leukemia.base.printable import LONGEST_LINE, one_line, printable

HOSTILE = "cell\x1b[2J\x9b\x7f\r\u202e\udcff\nerror: forged\u2028"
SHOWN = r"cell\x1b[2J\x9b\x7f\r\u202e\udcff\nerror: forged\u2028"


def fails_with(error: Exception | None, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints on stderr that raises the error, or warns of it."""

    def main(argv: list[str] | None) -> int:
        if error is not None:
            raise error
        logging.getLogger("leukemia.data.images").warning("%s is damaged", HOSTILE)
        return 0

    with pytest.raises(SystemExit):
        run_command(main)
    return capsys.readouterr().err


def test_values_are_escaped_and_ordinary_text_is_not() -> None:
    assert one_line(HOSTILE) == printable(HOSTILE) == printable(SHOWN) == SHOWN
    text = "Zellen é, 細胞/✓ – 95 %:\n  first\n  second"
    assert printable(text) == text
    # Spaces that look like another character, and the marks of right-to-left text.
    assert one_line("a\xa0b\u200fc\t") == r"a\xa0b\u200fc\t"


def test_long_values_are_shortened_and_the_advice_at_the_end_is_kept() -> None:
    text = printable(f"field {'k' * 300_000}: unknown; remove it\n  second")
    assert len(text) < LONGEST_LINE + 100
    assert text.startswith("field kkk")
    assert "... (298026 characters left out) ..." in text
    assert text.endswith("unknown; remove it\n  second")


def test_items_of_a_list_are_one_line_each() -> None:
    assert listed(["a\n  b", "c"]) == "  a\\n  b\n  c"


def test_error_lines_and_warnings_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    error = UserError(f"no file {HOSTILE}:\n{listed([HOSTILE])}")
    assert fails_with(error, capsys) == f"error: no file {SHOWN}:\n  {SHOWN}\n"
    assert fails_with(None, capsys) == f"warning: {SHOWN} is damaged\n"


def test_log_files_are_printable_and_tracebacks_are_indented(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "search.log")
    handler.setFormatter(FileFormatter())
    log = logging.getLogger("search.launch.search")
    with logging_to(handler):
        log.info("data: %s", HOSTILE)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            log.critical("failed", exc_info=True)
    first, second, *traceback = (tmp_path / "search.log").read_text().splitlines()
    assert first.endswith(f"Z INFO data: {SHOWN}")
    assert second.endswith("Z CRITICAL failed")
    assert all(line.startswith("  ") for line in traceback)
    assert traceback[0] == "  Traceback (most recent call last):"
    assert "  error: forged\\u2028" in traceback


@pytest.mark.parametrize("argument", [HOSTILE, "--device", "x" * 100_000])
def test_errors_about_arguments_are_printable(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    cli.add_device(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([argument, "--device", f"cpu{HOSTILE}"] if argument.startswith("--") else [argument])
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.isprintable()
    assert len(message) < LONGEST_LINE + 100


@pytest.mark.parametrize("flag", ["--runs", "--data", "--base", "--subjects-from"])
def test_an_empty_path_is_rejected(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    cli.add_study(parser)
    cli.add_data(parser, "the sample set")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([flag, ""])
    assert f"argument {flag}: expected a path, got an empty text" in capsys.readouterr().err


def test_arguments_that_are_not_utf8_are_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    cli.add_settings(parser, "change a field")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--set", "model.pretrained=\udcff.pth"])
    assert r"expected arguments in UTF-8, got model.pretrained=\udcff.pth; rename" in capsys.readouterr().err
