"""Rows on a device: kept there where they fit, else sent; the same values either way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leukemia.data.augmentation import rows
from leukemia.data.augmentation.rows import CHUNK, Resident, Sent

CPU = torch.device("cpu")


@pytest.fixture
def images() -> np.ndarray:
    """More than one chunk of images; read-only, like a memory map."""
    pictures = np.random.default_rng(0).integers(0, 256, (CHUNK + 9, 4, 4, 3), dtype=np.uint8)
    pictures.flags.writeable = False
    return pictures


@pytest.mark.parametrize("kind", [Resident, Sent])
def test_rows_are_those_of_the_array(kind, images):
    chosen = [CHUNK + 3, 0, 7, CHUNK - 1, CHUNK, 7]
    found = kind(images, CPU)(chosen)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), images[chosen])


@pytest.mark.parametrize(("times", "expected"), [(3, Resident), (2.9, Sent)])
def test_an_array_stays_where_it_takes_a_third_of_the_free_memory(times, expected, images, monkeypatch):
    monkeypatch.setattr(rows, "free_memory", lambda device: times * images.nbytes)
    assert type(rows.on_device(images, CPU)) is expected


@pytest.mark.parametrize(("share", "expected"), [(1.0, 600), (0.5, 400), (0.05, 0)])
def test_free_memory_is_also_limited_by_the_share_of_a_trial(share, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (600, 1000))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: share)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 100)
    assert rows.free_memory(torch.device("cuda")) == expected


def test_a_cpu_has_no_memory_of_its_own(images):
    assert type(rows.on_device(images, CPU)) is Sent
