"""Batches that are kept are those of the loader, and are not made again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Train
from leukemia.data.augmentation import kept
from leukemia.data.augmentation.kept import KeepingLoader
from leukemia.data.images import Batch, training_batches

FIRST, SECOND = (training_batches(Recipe(train=Train(batch_size=4)), range(24), 0, epoch) for epoch in (1, 2))
BATCH_BYTES = 4 * 4


class Recorder:
    """A loader that records what it makes: images that are rows, labels that are epochs."""

    def __init__(self) -> None:
        self.made: list[Batch] = []

    def __call__(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        for keys in batches:
            self.made.append(keys)
            yield torch.tensor([float(key[3]) for key in keys]), torch.tensor([key[2] for key in keys])

    def close(self) -> None:
        pass


def values(found: Iterator[tuple[Tensor, Tensor]]) -> list[tuple[list, list]]:
    return [(images.tolist(), labels.tolist()) for images, labels in found]


@pytest.mark.parametrize(("most", "room", "made_again"), [(2, 6, 0), (2, 1, 1), (2, 0, 2), (0, 6, 2), (6, 6, 0)])
def test_the_first_batches_are_made_once_while_there_is_room(
    most: int, room: int, made_again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", room * BATCH_BYTES)
    recorder = Recorder()
    loader = KeepingLoader(recorder)
    assert values(loader.keeping(FIRST, most)) == values(Recorder()(FIRST))
    recorder.made.clear()
    assert values(loader(FIRST[:2])) == values(Recorder()(FIRST[:2]))
    assert recorder.made == FIRST[2 - made_again : 2]


def test_more_batches_than_are_kept_and_those_of_another_epoch_are_made() -> None:
    recorder = Recorder()
    loader = KeepingLoader(recorder)
    list(loader.keeping(FIRST, 2))
    recorder.made.clear()
    assert values(loader(FIRST)) == values(Recorder()(FIRST))
    assert values(loader(SECOND[:1])) == values(Recorder()(SECOND[:1]))
    assert recorder.made == FIRST[2:] + SECOND[:1]


def test_an_epoch_replaces_what_was_kept_of_the_one_before() -> None:
    recorder = Recorder()
    loader = KeepingLoader(recorder)
    list(loader.keeping(FIRST, 2))
    list(loader.keeping(SECOND, 2))
    recorder.made.clear()
    list(loader(SECOND[:2]))
    assert recorder.made == []
    list(loader(FIRST[:1]))
    assert recorder.made == FIRST[:1]


def test_a_larger_batch_ends_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first batches can stand for the first ones."""
    monkeypatch.setattr(kept, "MOST_BYTES", 3 * BATCH_BYTES)
    batches = [FIRST[0], FIRST[1] + FIRST[2] + FIRST[3], FIRST[4]]
    recorder = Recorder()
    loader = KeepingLoader(recorder)
    list(loader.keeping(batches, 3))
    recorder.made.clear()
    assert values(loader(batches)) == values(Recorder()(batches))
    assert recorder.made == batches[1:]
