"""The argument parser of every command, and the shared arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia import __version__
from leukemia.base import cli


def test_help_and_version_name_the_command_and_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "--now")
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"
    text = parser.format_help()
    assert text.startswith("usage: python -m leukemia.thing [-h] [--version]\n\nDo a thing.\n")
    assert text.endswith("example:\n  python -m leukemia.thing --now\n")


def test_shared_arguments_have_expected_defaults_and_types() -> None:
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    group = parser.add_argument_group("a group")
    cli.add_study(parser)
    cli.add_data(group, "the sample set")
    cli.add_device(group)
    cli.add_settings(group, "change a field")
    assert vars(parser.parse_args([])) == {
        "study": None,
        "runs": Path("runs"),
        "data": None,
        "also": None,
        "base": None,
        "subjects_from": None,
        "subject_column": None,
        "subject_pattern": None,
        "subject_spelling": None,
        "subject_scope": None,
        "split_column": None,
        "classes": None,
        "label_column": None,
        "device": "auto",
        "settings": [],
    }
    argv = ["one", "--runs", "r", "--data", "d", "--base", "b", "--subjects-from", "s", "--device", "cpu"]
    given = parser.parse_args([*argv, "--set", "a.b=1", "--set", "c.d=2"])
    assert (given.study, given.runs, given.data, given.base) == ("one", Path("r"), "d", Path("b"))
    assert given.also == []
    assert parser.parse_args(["--data", "d", "e", "f"]).also == [Path("e"), Path("f")]
    assert (given.subjects_from, given.device, given.settings) == (Path("s"), "cpu", ["a.b=1", "c.d=2"])
    assert "(default: the sample set)" in parser.format_help()


def test_an_unknown_device_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    cli.add_device(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--device", "tpu"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: argument --device: invalid choice: 'tpu' (choose from ")
    assert line.endswith("; see --help")


@pytest.mark.parametrize(
    ("option", "advice"), [("--devise=cpu", "; did you mean --device?"), ("--nothing", ""), ("--\x1b[31m", "")]
)
def test_an_unknown_option_is_one_line_with_a_similar_one(
    capsys: pytest.CaptureFixture[str], option: str, advice: str
) -> None:
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    cli.add_device(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([option])
    shown = option.replace("\x1b", "\\x1b")
    assert capsys.readouterr().err == f"error: unrecognized arguments: {shown}{advice}; see --help\n"


@pytest.mark.parametrize("option", ["--wandb", "--no-wandb", "--sub=s", "--ver"])
def test_an_abbreviated_option_is_rejected(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It would set whatever option happens to begin like it."""
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    cli.add_reading(parser)
    cli.add_wandb_ids(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([option])
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err


def test_the_home_directory_is_expanded_where_shells_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    parser = cli.command_parser("leukemia.thing", "Do a thing.", "")
    cli.add_study(parser)
    cli.add_data(parser, "the sample set")
    given = parser.parse_args(["--runs=~/x", "--data=~/y", "--base=~z"])
    assert (given.runs, given.data, given.base) == (Path("/home/me/x"), "/home/me/y", Path("~z"))
