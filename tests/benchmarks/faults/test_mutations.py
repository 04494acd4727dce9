"""Bytes are changed one at a time, and what each reader says is judged by the worst of them."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import mutations
from benchmarks.faults.harness.mutation import Mutation
from benchmarks.faults.mutations import NO_EFFECT, REBUILT, REFUSED, SILENT, TRACEBACK, files_of, judge, part_of
from leukemia.base.errors import SUCCESS, UserError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, content in {
        "study/study.json": b"0" * 10_000,
        "study/final/model.safetensors": b"x",
        "study/wandb/run.json": b"1",
        "study/search.log": b"1",
        "cache/views/a.npy": b"y" * 10,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_each_file_is_as_likely_whatever_its_size(place: Path) -> None:
    paths = files_of(place)
    assert [(path.name, part_of(path)) for path in paths] == [
        ("a.npy", "cache"),
        ("model.safetensors", "final"),
        ("study.json", "study"),
    ]
    generator = random.Random(0)
    drawn = [Mutation.draw(place, paths, generator) for _ in range(300)]
    counts = Counter(mutation.path.name for mutation in drawn)
    assert min(counts.values()) > 70
    assert all(mutation.old != mutation.new for mutation in drawn)
    digits = [mutation for mutation in drawn if mutation.path.name == "study.json" and 48 <= mutation.new <= 57]
    assert len(digits) > counts["study.json"] / 3, "a digit often becomes another digit"


def test_one_byte_is_changed(place: Path) -> None:
    path = Path("cache/views/a.npy")
    mutation = Mutation(path, 3, ord("y"), ord("z"))
    mutation.apply(place)
    assert (place / path).read_bytes() == b"yyyzyyyyyy"
    assert mutation.describe() == "cache/views/a.npy byte 3: b'y' to b'z'"


def _refuse(study: object) -> Any:
    raise UserError("study.json: was changed")


def _fail(study: object) -> Any:
    raise KeyError("n")


def _rebuild(study: object) -> Any:
    logging.getLogger("leukemia").warning("a.npy is damaged")
    return 1


@pytest.mark.parametrize(
    ("readers", "outcome"),
    [
        ((lambda study: 1,), NO_EFFECT),
        ((_rebuild,), REBUILT),
        ((lambda study: 1, _refuse), REFUSED),
        ((_refuse, lambda study: 2), SILENT),
        ((_fail, _refuse), TRACEBACK),
    ],
)
def test_the_worst_outcome_counts(
    place: Path, monkeypatch: pytest.MonkeyPatch, readers: tuple[Callable[[Any], Any], ...], outcome: str
) -> None:
    monkeypatch.setitem(mutations.READERS, "study", readers)
    monkeypatch.setattr(mutations.Study, "open", lambda folder: None)
    assert judge(place, "study", ["1"] * len(readers))[0] == outcome


@pytest.mark.slow
def test_no_changed_byte_of_a_real_study_goes_unnoticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Restored afterwards: the benchmark has a cache of its own.
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path))
    assert mutations.main(["--times", "6", "--runs", str(tmp_path), "--seed", "1"]) == SUCCESS
    *_, total = capsys.readouterr().out.splitlines()
    assert sum(map(int, total.split("|")[2:-1])) == 6
    assert total.endswith("| 0 | 0 |")
