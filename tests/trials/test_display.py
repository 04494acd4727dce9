"""The console output: a table on a terminal, lines otherwise, nothing on a quiet console; everything is logged."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers.terminal import on_terminal
from rich.console import Console

from leukemia.base import progress
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.config.sections import Train
from leukemia.study.job import Job
from leukemia.study.ladder import Place
from leukemia.study.outlook import Outlook
from leukemia.study.schema import FoldRecord
from search.trials.display import TerminalDisplay, print_line, print_trials
from search.trials.study_log import study_log

RECIPE = Recipe(train=Train(epochs=30))


def console_of(*, terminal: bool, width: int = 100, height: int = 30) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=terminal, width=width, height=height, _environ={}), stream


def display_on(console: Console, num_trials: int = 4, trained: dict[Job, int] | None = None) -> TerminalDisplay:
    return TerminalDisplay(console, num_trials=num_trials, num_folds=2, objective="tta_accuracy", trained=trained)


def epoch_of(fold: int, epoch: int) -> Epoch:
    return Epoch(
        seed=0,
        fold=fold,
        epoch=epoch,
        train_loss=0.25,
        train_accuracy=0.5,
        validation_loss=0.7,
        validation_accuracy=0.5,
        learning_rate=1e-3,
        seconds=1.0,
        images_per_second=10.0,
        device_memory_mb=0.0,
    )


def fold_of(fold: int, score: float | None) -> FoldRecord:
    return FoldRecord(fold=fold, seed=0, n=8, scores={"tta_accuracy": score}, seconds=1.0, device="cpu (test)")


def play(display: TerminalDisplay) -> None:
    """Trial 0 ended earlier, 1 completes and is repeated, 2 is stopped, 3 is running."""
    display.recall(Job(0, 0), RECIPE, "failed", [])
    display.begin(Job(1, 0), RECIPE, [0.5])
    display.fold(Job(1, 0), fold_of(1, 0.75))
    display.end(Job(1, 0), "complete", "all 2 folds", 0.625)
    display.begin(Job(1, 1, is_repeat=True), RECIPE, [])
    display.fold(Job(1, 1, is_repeat=True), fold_of(0, 0.875))
    display.begin(Job(2, 0), RECIPE, [])
    display.fold(Job(2, 0), fold_of(0, 0.5))
    display.end(Job(2, 0), "stopped", "no better than chance [0.4]", None)
    display.begin(Job(3, 0), RECIPE, [])
    display.epoch(Job(3, 0), epoch_of(0, 7))


def rendered(display: TerminalDisplay, console: Console) -> list[str]:
    """The lines, without colors and repeated blanks; a bar is one character."""
    with console.capture() as capture:
        console.print(display._render())
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capture.get())
    plain = re.sub("[━╸╺]+", "━", plain)
    return [" ".join(line.split()) for line in plain.splitlines() if line.strip()]


def test_the_table_shows_the_progress_of_every_trial() -> None:
    console, _ = console_of(terminal=True, width=110)
    display = display_on(console)
    play(display)
    recipe = RECIPE.describe()
    header, _, *rows, trials, times, hint = rendered(display, console)
    assert header == "trial state progress recipe score"
    assert rows == [
        f"0000 failed 0/2 folds {recipe}",
        f"0001 complete 2/2 folds {recipe} 0.6250",
        f"0001 s1 running 1/2 ━ 50% {recipe} 0.8750",
        f"0002 stopped 1/2 folds {recipe} 0.5000",
        f"0003 running 0/2 ━ 12% {recipe}",
    ]
    assert trials == "3 of 4 trials, highest tta_accuracy 0.6250, uncorrected"
    assert re.fullmatch(r"0:0\d", times)
    assert hint == "Ctrl-C keeps all finished folds"


def test_best_includes_only_complete_trials() -> None:
    console, _ = console_of(terminal=True)
    display = display_on(console)
    display.recall(Job(0, 0), RECIPE, "stopped", [0.99])
    assert rendered(display, console)[-3] == "1 of 4 trials"


def test_a_resumed_trial_is_shown_in_its_next_fold() -> None:
    console, _ = console_of(terminal=True)
    display = display_on(console)
    display.begin(Job(0, 0), RECIPE, [0.5])
    assert rendered(display, console)[2].startswith("0000 running 1/2 ━ 50% ")
    assert rendered(display, console)[2].endswith(" 0.5000")


@pytest.mark.parametrize(("width", "height"), [(60, 8), (80, 24), (200, 50)])
def test_table_fits_any_terminal(width: int, height: int) -> None:
    console, _ = console_of(terminal=True, width=width, height=height)
    display = display_on(console, num_trials=100)
    for number in range(60):
        display.begin(Job(number, 0), RECIPE, [])
    lines = rendered(display, console)
    assert len(lines) <= height
    assert any(re.match(r"0059 running 0/2 ━ 0% \S", line) for line in lines), "the latest are shown"
    assert lines[0].startswith("trial state progress re")
    assert lines[0].endswith(" score")


def test_without_a_terminal_each_event_is_a_line() -> None:
    console, stream = console_of(terminal=False, width=20)
    display = display_on(console)
    with display.running():
        play(display)
    lines = stream.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d trial ", line) for line in lines)
    assert [line[9:] for line in lines] == [
        f"trial 0001 resumes after 1 of 2 folds: {RECIPE.describe()}",
        "trial 0001 fold 2/2: tta_accuracy 0.7500",
        "trial 0001 complete: tta_accuracy 0.6250",
        f"trial 0001 seed 1 starts: {RECIPE.describe()}",
        "trial 0001 seed 1 fold 1/2: tta_accuracy 0.8750",
        f"trial 0002 starts: {RECIPE.describe()}",
        "trial 0002 fold 1/2: tta_accuracy 0.5000",
        "trial 0002 stopped: no better than chance [0.4]",
        f"trial 0003 starts: {RECIPE.describe()}",
    ]


def test_a_trial_that_was_begun_before_does_not_seem_to_start() -> None:
    console, stream = console_of(terminal=False)
    display = display_on(console, trained={Job(1, 0): 4})
    for number in (0, 1, 1):
        display.begin(Job(number, 0), RECIPE, [])
    starts = [line[9:].partition(":")[0] for line in stream.getvalue().splitlines()]
    assert starts == ["trial 0000 starts", "trial 0001 resumes (4 epochs trained before)", "trial 0001 starts"]


def test_repeats_are_not_counted_in_the_footer() -> None:
    console, _ = console_of(terminal=True)
    display = display_on(console)
    display.recall(Job(0, 0), RECIPE, "complete", [0.5])
    display.recall(Job(0, 1, is_repeat=True), RECIPE, "complete", [0.875])
    assert rendered(display, console)[-3].startswith("1 of 4 trials, highest tta_accuracy 0.5000")


def test_a_fold_with_an_undefined_score_is_not_shown() -> None:
    console, stream = console_of(terminal=False)
    display = display_on(console)
    display.begin(Job(0, 0), RECIPE, [])
    display.fold(Job(0, 0), fold_of(0, None))
    assert "fold 1/2" not in stream.getvalue()
    assert rendered(display, console)[2].endswith("running 0/2 0% " + RECIPE.describe())


def test_a_note_is_printed_and_logged(tmp_path: Path) -> None:
    console, stream = console_of(terminal=False)
    with study_log(tmp_path, console):
        display_on(console).note("no more [trials]")
    assert re.fullmatch(r"\d\d:\d\d:\d\d no more \[trials\]\n", stream.getvalue())
    assert "INFO no more [trials]" in (tmp_path / "search.log").read_text()


def test_on_a_terminal_a_table_is_drawn_instead_of_lines() -> None:
    console, stream = console_of(terminal=True)
    display = display_on(console)
    with display.running():
        play(display)
    assert "0003" in stream.getvalue()
    assert "trial 0002 stopped" not in stream.getvalue()


def test_an_interrupt_leaves_the_last_table_on_the_terminal() -> None:
    """A table that is erased when the search ends is followed by a final one; after an interrupt there is none."""
    for error in (KeyboardInterrupt, None):
        console, stream = console_of(terminal=True)
        display = display_on(console)
        with contextlib.suppress(KeyboardInterrupt), display.running():
            play(display)
            if error is not None:
                raise error
        assert "0003" in stream.getvalue()
        assert stream.getvalue().endswith("\x1b[2K") == (error is None), repr(stream.getvalue()[-100:])


def test_recipes_name_what_is_searched() -> None:
    console, _ = console_of(terminal=True, width=80)
    display = TerminalDisplay(
        console,
        num_trials=4,
        num_folds=5,
        objective="tta_accuracy",
        searched=["optimizer.learning_rate", "data.grayscale", "augment.blur"],
    )
    display.begin(Job(12, 0), RECIPE, [])
    display.fold(Job(12, 0), fold_of(0, 0.5))
    _, _, row, *_ = rendered(display, console)
    assert row == "0012 running 1/5 ━ 20% color, 1.0e-03, blur 0.2 0.5000"


def test_the_bar_grows_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time that the last one took, in each of two folds that are trained side by side; never to its end."""
    clock = [1000.0]
    monkeypatch.setattr("search.trials.display.time.monotonic", lambda: clock[0])
    console, _ = console_of(terminal=True)
    display = display_on(console)
    display.begin(Job(0, 0), RECIPE, [])
    for fold in (0, 1):
        display.epoch(Job(0, 0), dataclasses.replace(epoch_of(fold, 10), seconds=100.0))

    def share() -> str:
        return rendered(display, console)[2].split("━ ")[1].split()[0]

    assert share() == "33%"
    clock[0] += 50
    assert share() == "35%", "10.5 of 30 epochs of both folds"
    clock[0] += 5000
    assert share() == "36%"
    display.fold(Job(0, 0), fold_of(0, 0.5))
    assert share() == "68%"


def test_no_progress_bar_is_drawn_over_the_table() -> None:
    """Images may have to be decoded again while a search runs."""
    console, _ = console_of(terminal=True)
    with on_terminal() as terminal, display_on(console).running(), progress.bar("decoding images"):
        time.sleep(0.1)
    assert terminal.getvalue() == ""


def test_a_quiet_console_shows_nothing_but_everything_is_logged(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(file=stream, quiet=True, force_terminal=False)
    display = display_on(console)
    with study_log(tmp_path, console), display.running():
        play(display)
    assert stream.getvalue() == ""
    lines = (tmp_path / "search.log").read_text().splitlines()
    assert len(lines) == 10
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO trial 0003 fold 1/2 epoch 7/30: loss 0\.2500", lines[-1])


def test_messages_are_printed_verbatim() -> None:
    console, stream = console_of(terminal=False, width=20)
    print_line(console, "a path with [brackets] that is longer than the console")
    assert stream.getvalue() == "a path with [brackets] that is longer than the console\n"


def trials() -> pd.DataFrame:
    rows = [
        ("0001", "complete", "2/2", 3, 0.91234, "all 2 folds"),
        ("0000", "stopped", "1/2", 1, 0.5, "no better than chance [sic]"),
        ("0002", "failed", "0/2", 1, float("nan"), "NonFiniteLoss: at step 3"),
        ("0003", "running", "0/2", 1, float("nan"), ""),
        ("0004", "waiting", "0/2", 1, float("nan"), "waits at 15 % of fold 1, rank 2 of 3"),
    ]
    table = pd.DataFrame(rows, columns=["trial", "state", "folds", "seeds", "score", "reason"])
    return table.assign(recipe=RECIPE.describe(), seconds=[150.0, 12.3, 0.0, 0.0, 0.0])


def test_the_final_table_lists_all_trials_and_the_reasons_of_early_ends() -> None:
    console, stream = console_of(terminal=False, width=88)
    print_trials(console, trials(), "tta_accuracy")
    text = stream.getvalue()
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    assert lines[0] == "trial state recipe folds seeds tta_accuracy"
    assert lines[2] == f"0001 complete {RECIPE.describe()} 2/2 3 0.9123"
    assert lines[4] == f"0002 failed {RECIPE.describe()} 0/2 1"
    assert lines[-3:] == [
        "0000 stopped: no better than chance [sic]",
        "0002 failed: NonFiniteLoss: at step 3",
        "0004 waits at 15 % of fold 1, rank 2 of 3",
    ]
    assert max(map(len, text.splitlines())) <= 88


def test_the_final_table_shows_the_cost_if_it_was_minimized() -> None:
    console, stream = console_of(terminal=False, width=100)
    print_trials(console, trials(), "tta_auroc,cost")
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines() if line.strip()]
    assert lines[0] == "trial state recipe folds seeds tta_auroc cost"
    assert lines[2] == f"0001 complete {RECIPE.describe()} 2/2 3 0.9123 2 min"
    assert lines[3] == f"0000 stopped {RECIPE.describe()} 1/2 1 0.5000 12 s"


def test_the_final_table_without_trials() -> None:
    console, stream = console_of(terminal=False)
    print_trials(console, trials().iloc[:0], "tta_accuracy")
    assert "tta_accuracy" in stream.getvalue()


def test_a_trial_that_waits_is_shown_with_its_place() -> None:
    console, stream = console_of(terminal=False)
    display = display_on(console)
    display.begin(Job(1, 0), RECIPE, [])
    display.fold(Job(1, 0), fold_of(0, 0.75))
    display.wait(Job(1, 0), RECIPE, [0.75], "waits at the end of fold 1, rank 2 of 3")
    assert stream.getvalue().splitlines()[-1][9:] == "trial 0001 waits at the end of fold 1, rank 2 of 3"
    display.begin(Job(1, 0), RECIPE, [0.75])
    assert stream.getvalue().splitlines()[-1][9:].startswith("trial 0001 goes on: ResNet-18")
    display.wait(Job(1, 0), RECIPE, [0.75], "waits at the end of fold 1, rank 2 of 3")
    console, _ = console_of(terminal=True)
    for rank in (2, 3):
        display.places({1: Place(share=1.0, rank=rank, reached=rank + 1), 9: Place(share=0.05, rank=1, reached=1)})
        _, _, row, footer, *_ = rendered(display, console)
        assert row.startswith(f"0001 waiting at the end, {rank} of {rank + 1} "), "the present rank"
        assert row.endswith(" 0.7500")
    assert footer == "0 of 4 trials, 1 waiting", "it has not ended"


def test_a_trial_that_waits_is_readable_on_a_narrow_terminal() -> None:
    console, _ = console_of(terminal=True, width=80)
    display = display_on(console)
    display.begin(Job(31, 0), RECIPE, [])
    display.wait(Job(31, 0), RECIPE, [], "waits at 15 % of fold 1, rank 131 of 148")
    display.places({31: Place(share=0.15, rank=131, reached=148)})
    assert rendered(display, console)[2].startswith("0031 waiting at 15 %, 131 of 148 ")


def test_jobs_that_run_are_shown_though_many_later_trials_wait() -> None:
    console, _ = console_of(terminal=True, width=80, height=12)
    display = display_on(console, num_trials=100)
    for number in range(60):
        display.begin(Job(number, 0), RECIPE, [])
        if number not in (3, 17):
            display.wait(Job(number, 0), RECIPE, [], "waits")
    _, _, *rows, _, _, _ = rendered(display, console)
    assert [row[:4] for row in rows] == ["0003", "0017", "0058", "0059"]


def test_the_time_to_go_is_that_of_the_limit_that_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("search.trials.display.time.monotonic", lambda: clock[0])
    console, _ = console_of(terminal=True)
    display = display_on(console)
    display.begin(Job(0, 0), RECIPE, [])
    assert "to go" not in rendered(display, console)[-2], "nothing is known"
    clock[0] += 600
    outlook = Outlook(seconds=500.0, used=4100.0, trained=0.5, budget=5000.0, patience=4.0, trials=3.0)
    display.outlook(outlook)
    # Half a trial in ten minutes: three in an hour; the budget lasts for 100 minutes.
    start = "10:00, 1.1 h on devices, 1.4 h left, about 1.0 h to go by --trials"
    assert rendered(display, console)[-2] == start
    clock[0] += 2400
    assert ", about 20 min to go by --trials" in rendered(display, console)[-2]
    for changes, limit in (({"budget": 500.0}, "--budget-hours"), ({"patience": 0.5}, "--patience")):
        display.outlook(dataclasses.replace(outlook, **changes))
        assert f"about 50 min to go by {limit}" in rendered(display, console)[-2]
    display.outlook(dataclasses.replace(outlook, trials=0.0))
    assert "to go" not in rendered(display, console)[-2], "only repeats are left"
