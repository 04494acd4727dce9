"""``search.search``: options as keywords are the command's own, and a search runs inside an event loop."""

from __future__ import annotations

import argparse
import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers.searches import RECIPE

import leukemia
import search
from leukemia.base.errors import FAILURE, INTERRUPTED, NO_WINNER, SUCCESS, MissingFile, UserError
from leukemia.study.folder import Study
from search.launch import arguments as command
from search.launch.call import SearchFailed
from search.launch.options import Options, arguments_of

SMALL: Options = {"settings": RECIPE, "trials": 1, "folds": 2, "repeats": 0, "address": "local", "device": "cpu"}


def test_the_options_are_those_of_the_command() -> None:
    actions = {action.dest for action in command._parser()._actions}
    assert Options.__annotations__.keys() == actions - {"help", "version", "data", "dry_run"}


def test_a_call_is_the_command_line_with_the_same_options() -> None:
    options: Options = {
        "study": "one",
        "runs": Path("some runs"),
        "warm_start": ["a", "b"],
        "settings": {"data.grayscale": True, "model.pretrained": None, "optimizer.learning_rate": 1e-05},
        "racing": False,
        "pausing": False,
        "wandb_ids": True,
        "rungs": [0.1, 0.5],
        "gpus_per_trial": "auto",
        "subject_pattern": r"-(\d+)",
        "budget_hours": None,
        "classes": ("normal=hem", "leukemic=all"),
        "resume": False,
        "quiet": True,
    }
    found = command.parse(arguments_of(["a.csv", Path("b.csv")], options))
    words = "--data a.csv b.csv --study one --warm-start a b --no-racing --no-pausing --wandb-ids --rungs 0.1,0.5"
    more = "--gpus-per-trial auto --classes normal=hem leukemic=all --quiet --set data.grayscale=True"
    rest = ["--set", "model.pretrained=", "--set", "optimizer.learning_rate=1e-05", "--subject-pattern=-(\\d+)"]
    expected = command.parse([*words.split(), *more.split(), *rest, "--runs", "some runs"])
    assert vars(found) == vars(expected)
    assert arguments_of(None, {"rungs": "0.1,0.5"}) == arguments_of(None, {"rungs": [0.1, 0.5]})
    assert [command.parse(arguments_of(None, {"racing": value})).racing for value in (True, None)] == [True, None]


def test_wrong_options_are_errors_of_python(tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match=r"^search\(\) got an unexpected keyword argument 'trails'$"):
        search.search(tiny_folder, trails=3)  # type: ignore[call-arg]
    with pytest.raises(UserError, match=r"^argument --trials: invalid int value: '2.5'$"):
        search.search(tiny_folder, trials=2.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^--margin: expected at least 0, got -1.0$"):
        search.search(tiny_folder, margin=-1)
    with pytest.raises(UserError, match=r"^unknown recipe field 'train.epoch'; did you mean train.epochs"):
        search.search(tiny_folder, settings={"train.epoch": 3})
    assert capsys.readouterr() == ("", "")


def test_another_thread_is_refused() -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            search.search()
        except UserError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert str(raised[0]).startswith("search.search: expected the main thread, which alone receives Ctrl-C")


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (SUCCESS, None),
        (NO_WINNER, None),
        (FAILURE, SearchFailed),
        (SystemExit(FAILURE), SearchFailed),
        (SystemExit(INTERRUPTED), KeyboardInterrupt),
    ],
)
def test_how_a_search_ends_is_how_the_call_ends(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, ending: Any, error: type[BaseException] | None
) -> None:
    from helpers.studies import info_of

    begun: list[argparse.Namespace] = []

    def end(arguments: argparse.Namespace, command: str) -> int:
        begun.append(arguments)
        assert command == f"python -m search.run --data {tiny_folder} --runs={tmp_path} --trials=4"
        Study.create(tmp_path / arguments.study, info_of(trials=4))
        if isinstance(ending, SystemExit):
            raise ending
        return int(ending)

    monkeypatch.setattr("search.launch.search.search", end)
    if error is not None:
        with pytest.raises(error):
            search.search(tiny_folder, runs=tmp_path, trials=4)
        return
    found = search.search(tiny_folder, runs=tmp_path, trials=4)
    assert isinstance(found, leukemia.Study)
    assert found.folder == tmp_path / begun[0].study
    with pytest.raises(MissingFile, match=r"no complete trial"):
        _ = found.best


@pytest.mark.slow
def test_a_search_runs_in_an_event_loop_as_in_a_notebook(tmp_path: Path, tiny_folder: Path) -> None:
    async def cell() -> leukemia.Study:
        # Blocking the loop is what a cell of a notebook does.
        return search.search(tiny_folder, runs=tmp_path, study="cell", **SMALL)

    found = asyncio.run(cell())
    assert found.trials()["state"].tolist() == ["complete"]
    assert found.best.trial == "0000"
    assert search.search(runs=tmp_path, resume=True, address="local", device="cpu").folder == tmp_path / "cell"
