"""Images decoded once into a memory-mapped array; a dataset over its rows; batches and loaders."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from leukemia.base import interrupts
from leukemia.base.errors import UserError, listed
from leukemia.base.locks import locked
from leukemia.base.quantity import are, have
from leukemia.base.threads import completed
from leukemia.config.recipe import Recipe
from leukemia.data import array_file, hashes, view_file
from leukemia.data.augment import Key, Pipeline
from leukemia.data.catalog import Catalog
from leukemia.data.pixels import Unreadable, decode, pixel_sha256
from leukemia.data.view import View

Batch = list[Key]
"""The keys (seed, fold, epoch, row) of the images of one batch."""

log = logging.getLogger(__name__)


def open_images(catalog: Catalog, view: View, *, check_again: bool = False) -> np.ndarray:
    """All images of a catalogue in one view, memory-mapped from the cache; decoded if no reading has stored them.

    The cached file is checked by its checksums once per process; a damaged or deleted one is built again. Safe for
    concurrent processes: one builds the cache, the others wait. Leftovers of a killed build are removed.

    Args:
        check_again: check the file even if this process has checked it.

    Returns:
        Read-only (n, size_px, size_px, 3) uint8 RGB; row i is row i of ``catalog.table``.

    Raises:
        UserError: images are too small for the view or have changed since the catalog was read (all are listed),
            or there is not enough disk space.
    """
    table = catalog.table
    # The fingerprint, which names the cache file, does not depend on the order of the images.
    assert table["image_id"].is_monotonic_increasing
    _require_size(table, view)
    path, shape = view_file.path_of(catalog.fingerprint, view), view_file.shape_of(len(table), view)
    with locked(path.with_suffix(".lock")):
        view_file.adopt(path, view, table["pixel_sha256"])
        if path.exists() and not array_file.is_intact(path, shape, again=check_again):
            log.warning("%s is damaged, or of other data; building it again", path)
            path.unlink()
        if not path.exists():
            _build(path, catalog, view)
        array_file.bind(path, shape)
        return array_file.mapped(path)


def are_stored(catalog: Catalog, view: View) -> bool:
    """Whether ``open_images`` would find the images in the cache, unless their file is damaged."""
    return view_file.is_written(catalog.fingerprint, view, catalog.table["pixel_sha256"])


def _require_size(table: pd.DataFrame, view: View) -> None:
    """Refuse images that are too small before any is decoded, if the view does."""
    sizes = zip(table["width"], table["height"], strict=True)
    small = table[[view.small == "refuse" and view.is_small(width, height) for width, height in sizes]]
    if len(small):
        sides = small[["width", "height"]]
        key, least = ("data.crop_px", sides.min(axis=1)) if view.crop_px else ("data.size_px", sides.max(axis=1))
        lines = (f"{row.image_id}: {row.width}x{row.height} px" for row in small.itertuples())
        raise UserError(
            f"{len(small)} of {len(table)} images {are(len(small))} smaller than the {view.least}; set "
            f"{key} to at most "
            f"{least.min()}, set data.small=pad, or remove them from the data:\n{listed(lines)}"
        )


def _build(path: Path, catalog: Catalog, view: View) -> None:
    """Decode the images again and write them to ``path``. Requires its lock."""
    image_ids, paths, expected = (catalog.table[name].tolist() for name in ("image_id", "path", "pixel_sha256"))
    changed: dict[str, str] = {}
    hashes.remove_leftovers(catalog.root)
    with view_file.written(path, len(image_ids), view) as put:

        def read(row: int) -> str | None:
            try:
                image = decode(Path(paths[row]))
            except Unreadable as reason:
                return str(reason)
            if pixel_sha256(image) != expected[row]:
                return "pixels differ"
            put(row, image)
            return None

        for row, reason in completed(read, range(len(image_ids)), "decoding images"):
            if reason is not None:
                changed[image_ids[row]] = reason
        if changed:
            # Their cached hashes are wrong even where the states of their files agree.
            hashes.forget(catalog.root, changed)
            reasons = listed(f"{image_id}: {changed[image_id]}" for image_id in sorted(changed))
            raise UserError(
                f"{len(changed)} of {len(image_ids)} images {have(len(changed))} changed since the "
                "catalog was read; run the command "
                f"again without changing the data meanwhile:\n{reasons}"
            )


class ImageRows(Dataset[tuple[Tensor, int]]):
    """Images by key, transformed. The key contains the epoch, so persistent workers need no shared state."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, pipeline: Pipeline) -> None:
        """Args:
        images: (n, H, W, 3) uint8 RGB, memory-mapped or not; read-only.
        labels: (n,) int64.
        pipeline: from an image and its key to the network's input.
        """
        assert images.dtype == np.uint8
        assert images.shape[3:] == (3,)
        assert labels.shape == (len(images),)
        self.images, self.labels, self.pipeline = images, labels, pipeline

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        """The image (C, H, W) float32 and the label of ``key`` = (seed, fold, epoch, row)."""
        row = key[3]
        return torch.from_numpy(self.pipeline(np.asarray(self.images[row]), key)), int(self.labels[row])


def training_batches(recipe: Recipe, rows: Sequence[int] | np.ndarray, fold: int, epoch: int) -> list[Batch]:
    """The batches of one epoch: every row once, in an order that depends only on (seed, fold, epoch).

    The rows are spread over ceil(n / batch_size) batches whose sizes differ by at most one, so with a batch size of at
    least 3 no batch has a single image, for which BatchNorm has no variance.
    """
    seed = recipe.train.seed
    # numpy pads short entropy with zeros: without the spawn key this would be the stream of image row 0.
    generator = np.random.default_rng(np.random.SeedSequence((seed, fold, epoch), spawn_key=(1,)))
    order = generator.permutation(np.asarray(rows, dtype=np.int64))
    assert len(order) > 0, "no rows to train on"
    num_batches = math.ceil(len(order) / recipe.train.batch_size)
    return [[(seed, fold, epoch, row) for row in part.tolist()] for part in np.array_split(order, num_batches)]


class Loader:
    """One torch DataLoader for a whole training run: workers persist while the batches change each epoch."""

    def __init__(self, dataset: Dataset, num_workers: int, pin_memory: bool, collate: Callable | None = None) -> None:
        """Args:
        dataset: indexed by the keys of the batches.
        num_workers: number of loading processes; 0 loads in this process. Does not affect the results.
        pin_memory: put batches into page-locked memory, for faster transfer to a CUDA device.
        collate: from what the dataset has for a batch to images and labels. None: torch's, which stacks.
        """
        self._sampler = _BatchSampler()
        self._loader: DataLoader | None = DataLoader(
            dataset,
            batch_sampler=self._sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
            collate_fn=collate,
            worker_init_fn=_init_worker,
            # Otherwise each epoch draws a number from torch's global generator, changing the random state of training.
            generator=torch.Generator(),
        )

    def __call__(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """Per batch: (B, C, H, W) float32 and (B,) int64, on the CPU. A new call ends the previous iteration."""
        assert self._loader is not None, "the loader is closed"
        self._sampler.batches = list(batches)
        return iter(self._loader)

    def close(self) -> None:
        """Release the workers; they exit with the last iterator over them."""
        self._loader = None


class _BatchSampler:
    """A batch sampler whose batches are replaced between epochs."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _init_worker(worker: int) -> None:
    """Initialize a worker process: single-threaded, since there is one worker per core."""
    interrupts.leave_to_parent()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
