"""Batches for evaluation equal the evaluation pipeline, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data
from leukemia.data.augment import evaluation_pipeline
from leukemia.data.evaluation import evaluation_batches

CPU = torch.device("cpu")


@pytest.mark.parametrize("grayscale", [False, True])
def test_batches_equal_the_pipeline_to_the_last_bit(grayscale: bool) -> None:
    recipe = Recipe(data=Data(grayscale=grayscale))
    images = np.random.default_rng(0).integers(0, 256, (9, 24, 24, 3), dtype=np.uint8)
    rows = [8, 0, 3, 3, 5]
    pipeline = evaluation_pipeline(recipe)
    batches = list(evaluation_batches(images, rows, recipe, 2, CPU))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    found = torch.cat(batches)
    assert found.dtype == torch.float32
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in batches)
    assert torch.equal(found, torch.from_numpy(np.stack([pipeline(images[row], None) for row in rows])))


def test_no_rows_give_no_batches() -> None:
    images = np.zeros((1, 8, 8, 3), np.uint8)
    assert list(evaluation_batches(images, np.array([], dtype=np.int64), Recipe(), 4, CPU)) == []
