"""Images decoded once into a memory-mapped array; a dataset over its rows; batches and loaders."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rich.console
import rich.progress
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from leukemia.base import interrupts
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import UserError, listed
from leukemia.base.files import cache_dir, make_folder, require_space
from leukemia.base.locks import locked
from leukemia.config.recipe import Recipe
from leukemia.data import array_file, hashes
from leukemia.data.augment import Key, Pipeline
from leukemia.data.catalog import Catalog
from leukemia.data.pixels import Unreadable, decode, pixel_sha256

Batch = list[Key]
"""The keys (seed, fold, epoch, row) of the images of one batch."""

CHUNK = 256
"""Images decoded ahead of writing; bounds the memory needed."""

PROGRESS_FROM = 500
"""Show a progress bar for more images than this."""

log = logging.getLogger(__name__)

# OpenCV's threads would compete with torch's and with the loader's processes, and images are too small to gain.
cv2.setNumThreads(0)


@dataclass(frozen=True)
class View:
    """Crop and size of every image, the same for training and evaluation."""

    crop_px: int
    """Side of the centred square crop, in pixels."""

    size_px: int
    """Side after resizing, in pixels."""


def crop_and_resize(image: np.ndarray, view: View) -> np.ndarray:
    """The centred square crop of an image, resized by area averaging if the size differs.

    Args:
        image: (H, W, 3) uint8. If the margin is odd, the extra pixel is cut at the bottom or the right.
        view: crop and final size.

    Returns:
        (size_px, size_px, 3) uint8, contiguous.

    Raises:
        UserError: the image is smaller than the crop; the message does not name the image.
    """
    height, width = image.shape[:2]
    if min(height, width) < view.crop_px:
        raise UserError(f"{width}x{height} px is smaller than the crop of {view.crop_px} px")
    top, left = (height - view.crop_px) // 2, (width - view.crop_px) // 2
    square = image[top : top + view.crop_px, left : left + view.crop_px]
    if view.size_px == view.crop_px:
        return np.ascontiguousarray(square)
    return cv2.resize(square, (view.size_px, view.size_px), interpolation=cv2.INTER_AREA)


def open_images(catalog: Catalog, view: View, *, check_again: bool = False) -> np.ndarray:
    """All images of a catalogue in one view, decoded on the first call and memory-mapped from the cache.

    The cached file is checked by its checksums once per process; a damaged or deleted one is built again. Safe for
    concurrent processes: one builds the cache, the others wait. Leftovers of a killed build are removed.

    Args:
        check_again: check the file even if this process has checked it.

    Returns:
        Read-only (n, size_px, size_px, 3) uint8 RGB; row i is row i of ``catalog.table``.

    Raises:
        UserError: images are smaller than the crop or have changed since the catalogue was read (all are listed),
            or there is not enough disk space.
    """
    table = catalog.table
    # The fingerprint, which names the cache file, does not depend on the order of the images.
    assert table["image_id"].is_monotonic_increasing
    _require_crop_fits(table, view)
    folder = cache_dir() / "views"
    make_folder(folder, "set LEUKEMIA_CACHE to a folder that you can write")
    path = folder / f"{catalog.fingerprint[:16]}-c{view.crop_px}-s{view.size_px}.npy"
    shape = (len(table), view.size_px, view.size_px, 3)
    with locked(path.with_suffix(".lock")):
        if path.exists() and not array_file.is_intact(path, shape, again=check_again):
            log.warning("%s is damaged; building it again", path)
            path.unlink()
        if not path.exists():
            _build(path, catalog, view, shape)
        return array_file.mapped(path)


def _require_crop_fits(table: pd.DataFrame, view: View) -> None:
    small = table[table[["width", "height"]].min(axis=1) < view.crop_px]
    if len(small):
        smallest = int(table[["width", "height"]].to_numpy().min())
        sizes = (f"{row.image_id}: {row.width}x{row.height} px" for row in small.itertuples())
        raise UserError(
            f"{len(small)} of {len(table)} images are smaller than the crop of {view.crop_px} px; set data.crop_px to "
            f"at most {smallest}, or remove them from the data:\n{listed(sizes)}"
        )


def _build(path: Path, catalog: Catalog, view: View, shape: tuple[int, ...]) -> None:
    """Write the array to ``path``. Requires its lock, so that all temporary files are leftovers."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink()
    num_images = len(catalog.table)
    require_space(path.parent, array_file.size_of(shape), f"the decoded images ({num_images} of {view.size_px} px)")
    array_file.write(path, shape, _unchanged(catalog, _track(_decoded(catalog.table, view), num_images)))


def _unchanged(catalog: Catalog, results: Iterable[tuple[str, np.ndarray | str]]) -> Iterator[np.ndarray]:
    """The pixels of all images; after the last one, an error that lists those that have changed."""
    changed: dict[str, str] = {}
    for image_id, result in results:
        if isinstance(result, str):
            changed[image_id] = result
        else:
            yield result
    if changed:
        # Their cached hashes are wrong even where the states of their files agree.
        hashes.forget(catalog.root, changed)
        reasons = listed(f"{image_id}: {reason}" for image_id, reason in changed.items())
        raise UserError(
            f"{len(changed)} of {len(catalog.table)} images have changed since the catalogue was read; run the command "
            f"again without changing the data meanwhile:\n{reasons}"
        )


def _decoded(table: pd.DataFrame, view: View) -> Iterator[tuple[str, np.ndarray | str]]:
    """Image ids with their decoded pixels, or with an error message, in the table's order."""
    with ThreadPoolExecutor(max_workers=available_cpus()) as pool:
        for start in range(0, len(table), CHUNK):
            chunk = table.iloc[start : start + CHUNK]
            results = pool.map(partial(_decode_one, view=view), chunk["path"], chunk["pixel_sha256"])
            yield from zip(chunk["image_id"], results, strict=True)


def _decode_one(path: str, sha256: str, view: View) -> np.ndarray | str:
    try:
        image = decode(Path(path))
    except Unreadable as error:
        return str(error)
    if pixel_sha256(image) != sha256:
        return "pixels differ"
    return crop_and_resize(image, view)


def _track(results: Iterable[tuple[str, np.ndarray | str]], num_images: int) -> Iterable[tuple[str, np.ndarray | str]]:
    if num_images <= PROGRESS_FROM or not sys.stderr.isatty():
        return results
    console = rich.console.Console(stderr=True)
    return rich.progress.track(results, "Decoding images", total=num_images, console=console, transient=True)


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


def evaluation_batches(rows: Sequence[int] | np.ndarray, batch_size: int) -> list[Batch]:
    """Batches in the order of ``rows``; the last may be smaller. Seed, fold and epoch of the keys are 0."""
    keys = [(0, 0, 0, int(row)) for row in rows]
    return [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]


class Loader:
    """One torch DataLoader for a whole training run: workers persist while the batches change each epoch."""

    def __init__(self, dataset: ImageRows, num_workers: int, pin_memory: bool) -> None:
        """Args:
        dataset: indexed by the keys of the batches.
        num_workers: number of loading processes; 0 loads in this process. Does not affect the results.
        pin_memory: put batches into page-locked memory, for faster transfer to a CUDA device.
        """
        self._sampler = _BatchSampler()
        self._loader: DataLoader | None = DataLoader(
            dataset,
            batch_sampler=self._sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
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


def load(
    dataset: ImageRows, batches: Sequence[Batch], num_workers: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over the batches with a temporary ``Loader``: tensors on the CPU, page-locked if ``device`` is CUDA."""
    loader = Loader(dataset, num_workers, pin_memory=device.type == "cuda")
    try:
        yield from loader(batches)
    finally:
        loader.close()


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
