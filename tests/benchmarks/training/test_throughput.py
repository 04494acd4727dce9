"""The throughput benchmark: all sides run, and it fails if a ratio is lower than recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.training import throughput
from benchmarks.training.measuring import turns
from benchmarks.training.measuring.case import Case
from benchmarks.training.measuring.recorded import RATIOS, read_recorded
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import FAILURE, SUCCESS, UserError

KEYS = {*RATIOS, "launches", "augment_ms_per_image", "around_share", "turns", "seconds", "machine"}


def figures() -> dict[str, Any]:
    """Figures as of a short run, all ratios 1."""
    ratio = {"median": 1.0, "low": 0.5, "high": 1.5}
    optimizers = {"18@96 adamw": ratio, "18@96 ranger21": ratio}
    found = {field: optimizers if field == "over_plain" else {"18@96": ratio} for field in RATIOS} | {
        "launches": {"18": 150},
        "augment_ms_per_image": {"reference": 1.6, "batch": 0.7},
        "around_share": None,
        "turns": 7,
        "seconds": 200.0,
        "machine": throughput._machine(0.0),
    }
    # A copy without shared parts.
    return json.loads(json.dumps(found))


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], int]:
    """Runs a short form that measures ``figures()``, with these figures recorded."""

    def run(recorded: dict[str, Any]) -> int:
        path = tmp_path / "recorded.json"
        path.write_text(json.dumps(recorded))
        monkeypatch.setattr(throughput, "RECORDED", path)
        monkeypatch.setattr(throughput, "measure", lambda plan: figures())
        return throughput.main(["--short", "--json"])

    return run


def test_the_smallest_sizes_give_all_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert throughput.main(["--smoke", "--json"]) == SUCCESS
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == KEYS
    for field in RATIOS:
        names = ["18@32 adamw", "18@32 ranger21"] if field == "over_plain" else ["18@32"]
        assert list(found[field]) == names
        for ratio in found[field].values():
            assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    assert set(found["launches"]) == {"18", "50", "152"}
    assert found["augment_ms_per_image"].keys() == {"reference", "batch"}
    assert 0 < found["around_share"] < 1
    assert found["machine"]["threads"] == 1
    assert found["machine"]["precision"] in ("bfloat16", "float32")


def test_ratios_as_recorded_pass(compared, capsys) -> None:
    recorded = figures()
    recorded["adamw_over_limit"]["18@96"]["median"] = 1.17
    # Of a network that the short form does not measure.
    recorded["adamw_over_limit"]["50@96"] = {"median": 9.0}
    assert compared(recorded) == SUCCESS
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[-1]) == figures()
    assert not output.err


@pytest.mark.parametrize(("field", "name"), [(field, "18@96") for field in RATIOS[:3]] + [(RATIOS[3], "18@96 adamw")])
def test_a_lower_ratio_fails_and_is_named(compared, capsys, field: str, name: str) -> None:
    recorded = figures()
    recorded[field][name]["median"] = 1.25
    assert compared(recorded) == FAILURE
    output = capsys.readouterr()
    expected = f"error: {field} of {name}: recorded 1.25, measured 1.00, 20% lower; at most 15% is accepted\n"
    assert output.err == expected
    assert json.loads(output.out.splitlines()[-1]) == figures()


def test_another_machine_is_pointed_out(compared, capsys) -> None:
    recorded = figures()
    recorded["machine"] |= {"device": "cpu (Other)", "threads": 8}
    assert compared(recorded) == SUCCESS
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("recorded.json was recorded with device cpu (Other), this is cpu (")
    assert lines[1] == "recorded.json was recorded with threads 8, this is 1: ratios may differ"


def test_a_ratio_that_is_not_recorded_is_refused(compared) -> None:
    recorded = figures()
    del recorded["over_plain"]["18@96 ranger21"]
    with pytest.raises(UserError, match=r"recorded\.json: expected a ratio over_plain of 18@96 ranger21; write it"):
        compared(recorded)


@pytest.mark.parametrize("text", ["[]", "{}", '{"adamw_over_limit": 1}'])
def test_a_file_of_other_content_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recorded.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"recorded\.json: expected the figures of a whole run; write it again with"):
        read_recorded(path)


def test_without_recorded_figures_nothing_is_measured(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(throughput, "RECORDED", tmp_path / "recorded.json")
    monkeypatch.setattr(throughput, "measure", lambda plan: pytest.fail("measured"))
    with pytest.raises(UserError, match=r"recorded\.json: no such file; write it with .*throughput --record"):
        throughput.main(["--short"])


def test_figures_are_recorded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(throughput, "RECORDED", tmp_path / "recorded.json")
    monkeypatch.setattr(throughput, "measure", lambda plan: figures() | {"turns": plan.turns})
    assert throughput.main(["--record", "--turns", "9"]) == SUCCESS
    assert read_recorded(tmp_path / "recorded.json") == figures() | {"turns": 9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--turns", "0"], "--turns: expected at least 1, got 0"),
        (["--threads", "0"], f"--threads: expected 1 to {available_cpus()}, the available CPUs, got 0"),
        (["--threads", "9999"], f"--threads: expected 1 to {available_cpus()}, the available CPUs, got 9999"),
        (["--record", "--short"], "--record: expected a whole run; leave out --short and --smoke"),
        (["--record", "--smoke"], "--record: expected a whole run; leave out --short and --smoke"),
        (["--record", "--turns", "3"], "--record: expected at least 7 turns, got --turns 3"),
    ],
)
def test_arguments_are_checked(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        throughput.main(arguments)


def test_sides_take_turns_in_changing_order_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def side_of(name: str, seconds: float) -> Callable[[Case], Any]:
        def side(case: Case) -> Any:
            try:
                while True:
                    called.append(f"{name} {case.optimizer}")
                    # Warming up takes longer.
                    yield seconds * (10 if called.count(called[-1]) == 1 else 1)
            finally:
                called.append(f"end of {name} {case.optimizer}")

        return side

    for name, seconds in (("plain_loop", 0.4), ("ours", 0.2), ("limit", 0.1)):
        monkeypatch.setattr(turns, name, side_of(name, seconds))
    found = turns.turns_of(18, 96, 3, 4)
    assert len(found) == 4
    assert turns.ratio(found, "ours adamw", "plain adamw") == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert turns.ratio(found, "ours ranger21", "limit adamw")["median"] == 0.5
    orders = {tuple(called[start : start + 6]) for start in range(0, 30, 6)}
    assert len(orders) > 1
    assert all(len(set(order)) == 6 for order in orders)
    assert sum(each.startswith("end of") for each in called) == 6
