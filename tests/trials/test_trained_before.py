"""What is said of a fold that an earlier session has begun."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from helpers.tracked import epoch_of, make_study

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.folder import Study
from leukemia.study.job import Job
from search.trials.trained_before import TrainedBefore

JOB = Job(0, 0)


@pytest.fixture
def before(tmp_path: Path) -> TrainedBefore:
    """Four epochs of fold 1 of a trial; the last one was trained twice."""
    study = make_study(tmp_path / "one")
    study.begin_trial(0, Recipe())
    for epoch in range(1, 5):
        study.write_epoch(0, epoch_of(0, epoch))
    study.write_epoch(0, later(4, 2.5))
    return TrainedBefore(Study.open(study.folder))


def later(epoch: int, seconds: float) -> Epoch:
    """An epoch that takes another time."""
    return dataclasses.replace(epoch_of(0, epoch), seconds=seconds)


def test_a_fold_goes_on_after_the_last_epoch_of_its_checkpoint(before: TrainedBefore) -> None:
    assert before.num_epochs == {JOB: 4}
    assert [before.note(JOB, epoch_of(0, epoch)) for epoch in (1, 2, 3)] == [None] * 3
    assert before.note(JOB, later(4, 2.5)) is None, "the checkpoint may be of the second training"
    assert before.note(JOB, later(5, 3.5)) == "trial 0000 fold 1 goes on after epoch 4"
    assert before.note(JOB, later(6, 3.5)) is None, "said once"


def test_a_fold_whose_checkpoint_is_older_says_that_it_repeats_epochs(before: TrainedBefore) -> None:
    assert [before.note(JOB, epoch_of(0, epoch)) for epoch in (1, 2)] == [None] * 2
    assert before.note(JOB, later(3, 9.5)) == (
        "trial 0000 fold 1 goes on after epoch 2; 4 epochs had been trained before"
    )


def test_a_fold_without_a_checkpoint_starts_again(before: TrainedBefore) -> None:
    assert before.note(JOB, later(1, 9.5)) == (
        "trial 0000 fold 1 starts again (no checkpoint; 4 epochs had been trained before)"
    )
    assert before.note(Job(1, 0), epoch_of(0, 1)) is None, "a new trial"
