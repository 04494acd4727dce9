"""Images: cached views equal direct decoding; batches cover all rows; results do not depend on workers."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cells import draw_cells
from PIL import Image

from leukemia.base import checksums, files, threads
from leukemia.base.errors import UserError
from leukemia.base.files import write_json
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data, Train
from leukemia.data import hashes, images
from leukemia.data.augment import evaluation_pipeline, training_pipeline
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.images import (
    ImageRows,
    Loader,
    open_images,
    training_batches,
)
from leukemia.data.pixels import decode, pixel_sha256
from leukemia.data.view import View, framed

FORK = multiprocessing.get_context("fork")
VIEW = View(crop_px=20, size_px=20)
SIDE_PX = 24


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of the cached views."""
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "views"


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, SIDE_PX, SIDE_PX + 3, 3), dtype=np.uint8)


@pytest.fixture
def catalog(tmp_path, pixels) -> Catalog:
    """Seven images under a path with a space and a non-ASCII letter."""
    folder = tmp_path / "Zellen für alle"
    folder.mkdir()
    rows = []
    for number, picture in enumerate(pixels):
        path = folder / f"{number}.png"
        Image.fromarray(picture).save(path)
        height, width = picture.shape[:2]
        rows.append((path.name, str(path), number % 2, pixel_sha256(picture), width, height))
    table = pd.DataFrame(rows, columns=["image_id", "path", "label", "pixel_sha256", "width", "height"])
    return Catalog(table=table, root=folder, layout="folders", fingerprint="0123456789abcdef" * 4, duplicates=())


def flipped(content: bytes, place: int) -> bytes:
    """The content with one bit changed."""
    changed = bytearray(content)
    changed[place] ^= 4
    return bytes(changed)


def only_file(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_crop_is_centred():
    image = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    square = framed(image, View(crop_px=4, size_px=4))
    assert np.array_equal(square, image[1:5, 2:6])
    assert square.flags.c_contiguous


def test_resize_averages_areas():
    image = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    small = framed(image, View(crop_px=8, size_px=4))
    mean = image.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).max() <= 0.5


def test_a_crop_larger_than_the_image_is_rejected():
    with pytest.raises(UserError, match="9x7 px is smaller than the crop of 8 px"):
        framed(np.zeros((7, 9, 3), np.uint8), View(crop_px=8, size_px=8))


def test_view_equals_direct_decoding(catalog, pixels):
    opened = open_images(catalog, VIEW)
    assert opened.dtype == np.uint8
    assert np.array_equal(opened, pixels[:, 2:22, 3:23])
    assert not opened.flags.writeable


def test_resized_view_equals_opencv(catalog, pixels):
    opened = open_images(catalog, View(crop_px=20, size_px=9))
    for row, picture in zip(opened, pixels, strict=True):
        assert np.array_equal(row, cv2.resize(picture[2:22, 3:23], (9, 9), interpolation=cv2.INTER_AREA))


def test_the_second_call_decodes_nothing(catalog, monkeypatch):
    first = open_images(catalog, VIEW)
    monkeypatch.setattr(images, "decode", None)
    assert isinstance(first, np.memmap)
    assert np.array_equal(open_images(catalog, VIEW), first)


def test_each_view_and_data_set_has_its_own_file(catalog, cache):
    open_images(catalog, VIEW)
    open_images(catalog, View(crop_px=20, size_px=10))
    open_images(replace(catalog, fingerprint="f" * 64), VIEW)
    names = {path.name for path in cache.glob("*.npy")}
    assert names == {"0123456789abcdef-c20-s20.npy", "0123456789abcdef-c20-s10.npy", "ffffffffffffffff-c20-s20.npy"}


def test_rows_keep_their_order_whichever_image_is_decoded_first(catalog, pixels, monkeypatch):
    late = threading.Event()

    def decode_first_last(path: Path) -> np.ndarray:
        if path.name == "0.png":
            assert late.wait(timeout=300)
        elif path.name == "6.png":
            late.set()
        return decode(path)

    monkeypatch.setattr(images, "decode", decode_first_last)
    monkeypatch.setattr(threads, "available_cpus", lambda: 2)
    assert np.array_equal(open_images(catalog, VIEW), pixels[:, 2:22, 3:23])


@pytest.mark.parametrize("damage", ["truncated", "empty", "longer", "other header", "pixel", "checksum", "mark"])
def test_a_damaged_cache_is_rebuilt(damage, catalog, pixels, cache, caplog):
    open_images(catalog, VIEW)
    path = only_file(cache, "*.npy")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[:-1],
            "empty": b"",
            "longer": whole + b"x",
            "other header": whole.replace(b"|u1", b"|i1"),
            "pixel": flipped(whole, len(whole) // 2),
            "checksum": flipped(whole, -40),
            "mark": flipped(whole, -1),
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(open_images(catalog, VIEW), pixels[:, 2:22, 3:23])
    assert "is damaged, or of other data; building it again" in caplog.text
    assert path.read_bytes() == whole


@pytest.mark.parametrize(("fingerprint", "crop_px"), [("e" * 64, 20), (None, 24)])
def test_an_intact_view_of_other_data_or_crop_is_rebuilt(fingerprint, crop_px, catalog, cache, caplog):
    """Copied over this one's: it has the same shape."""
    open_images(catalog, VIEW)
    path = only_file(cache, "*.npy")
    other = replace(catalog, fingerprint=fingerprint or catalog.fingerprint)
    open_images(other, View(crop_px=crop_px, size_px=20))
    (copied,) = set(cache.glob("*.npy")) - {path}
    whole = path.read_bytes()
    shutil.copyfile(copied, path)
    open_images(catalog, VIEW)
    assert caplog.messages == [f"{path} is damaged, or of other data; building it again"]
    assert path.read_bytes() == whole


def test_a_view_is_checked_once_per_process(catalog, monkeypatch):
    checked = []
    check = checksums.check
    monkeypatch.setattr(checksums, "check", lambda *file: checked.append(file) or check(*file))
    open_images(catalog, VIEW)
    for _ in range(2):
        open_images(catalog, VIEW)
    assert len(checked) == 1


def test_a_view_of_an_earlier_version_is_accepted_once_and_gets_checksums(catalog, pixels, cache, caplog):
    open_images(catalog, VIEW)
    path = only_file(cache, "*.npy")
    whole = path.read_bytes()
    np.save(path, pixels[:, 2:22, 3:23])
    assert np.array_equal(open_images(catalog, VIEW), pixels[:, 2:22, 3:23])
    assert caplog.messages == [
        f"{path} has no checksums (it is of an earlier version): it is used unchecked once, and has checksums now"
    ]
    assert path.read_bytes() == whole
    path.write_bytes(flipped(whole, 500))
    assert np.array_equal(open_images(catalog, VIEW), pixels[:, 2:22, 3:23])
    assert "is damaged, or of other data; building it again" in caplog.text


def test_a_deleted_view_is_built_again_while_an_open_one_stays_usable(catalog, pixels, cache):
    opened = open_images(catalog, VIEW)
    shutil.rmtree(cache)
    assert np.array_equal(open_images(catalog, VIEW), pixels[:, 2:22, 3:23])
    assert np.array_equal(opened, pixels[:, 2:22, 3:23])


def test_all_images_smaller_than_the_crop_are_listed_before_decoding(catalog, cache):
    catalog.table.loc[[2, 4], "height"] = [10, 12]
    with pytest.raises(UserError, match=r"2 of 7 images are smaller than the crop of 20 px.* at most 10") as caught:
        open_images(catalog, VIEW)
    assert "  2.png: 27x10 px\n  4.png: 27x12 px" in str(caught.value)
    assert not cache.exists()


def test_all_changed_images_are_listed_and_no_files_are_left(catalog, pixels, cache):
    Image.fromarray(pixels[0]).save(catalog.table.path[3])
    Path(catalog.table.path[5]).unlink()
    Path(catalog.table.path[6]).write_bytes(b"")
    with pytest.raises(UserError, match="3 of 7 images have changed since the catalog was read") as caught:
        open_images(catalog, VIEW)
    assert "  3.png: pixels differ\n  5.png: missing\n  6.png: empty" in str(caught.value)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_the_next_command_reads_changed_images_again(tmp_path):
    """Also where the states of the files do not reveal the change, as on a file system with coarse times."""
    folder = draw_cells(tmp_path / "cells", seed=1)
    first = read_catalog(folder)
    (hash_cache,) = (tmp_path / "cache" / "hashes").glob("*.json")
    content = json.loads(hash_cache.read_text())
    path = Path(first.table.path[0])
    Image.fromarray(decode(path)[::-1]).save(path)
    content["images"][first.table.image_id[0]][:4] = hashes._file_state(path)
    write_json(hash_cache, {**content, "sha256": hashes._sha256(content["images"])})
    stale = read_catalog(folder)
    assert stale.fingerprint == first.fingerprint
    with pytest.raises(UserError, match="1 of 48 images has changed since the catalog was read; run the command"):
        open_images(stale, VIEW)
    current = read_catalog(folder)
    assert np.array_equal(open_images(current, VIEW)[0], framed(decode(path), VIEW))


def test_disk_space_is_checked_before_decoding(catalog, monkeypatch, cache):
    usage = shutil.disk_usage(cache.parent.parent)._replace(free=8399)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(images, "decode", None)
    with pytest.raises(UserError, match=r"not enough disk space for the decoded images \(7 of 20 px\)"):
        open_images(catalog, VIEW)
    assert not list(cache.glob("*.npy"))


def test_unsorted_rows_are_rejected(catalog):
    shuffled = replace(catalog, table=catalog.table[::-1].reset_index(drop=True))
    with pytest.raises(AssertionError):
        open_images(shuffled, VIEW)


def _open_counting(catalog, barrier, num_decoded, results) -> None:
    decode = images.decode

    def counting(path: Path) -> np.ndarray:
        with num_decoded.get_lock():
            num_decoded.value += 1
        time.sleep(0.01)
        return decode(path)

    images.decode = counting
    barrier.wait()
    results.put(open_images(catalog, VIEW).tobytes())


def test_concurrent_processes_build_the_cache_once(catalog, pixels):
    barrier, num_decoded, results = FORK.Barrier(2), FORK.Value("i", 0), FORK.Queue()
    processes = [FORK.Process(target=_open_counting, args=(catalog, barrier, num_decoded, results)) for _ in range(2)]
    for process in processes:
        process.start()
    outputs = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(timeout=300)
    assert num_decoded.value == len(pixels)
    assert outputs == [np.ascontiguousarray(pixels[:, 2:22, 3:23]).tobytes()] * 2


def _open_and_hang(catalog, hanging) -> None:
    decode = images.decode

    def hang_late(path: Path) -> np.ndarray:
        if path.name == "6.png":
            hanging.set()
            time.sleep(3600)
        return decode(path)

    images.decode = hang_late
    open_images(catalog, VIEW)


def test_leftovers_of_a_killed_build_are_removed(catalog, pixels, cache):
    hanging = FORK.Event()
    process = FORK.Process(target=_open_and_hang, args=(catalog, hanging))
    process.start()
    assert hanging.wait(timeout=300)
    os.kill(process.pid, signal.SIGKILL)
    process.join(timeout=300)
    assert only_file(cache, ".*.tmp").is_file()
    assert not list(cache.glob("*.npy"))
    assert np.array_equal(open_images(catalog, VIEW), pixels[:, 2:22, 3:23])
    assert not list(cache.glob(".*.tmp"))


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(train=Train(batch_size=4, seed=5))


@pytest.fixture
def dataset(pixels, recipe) -> ImageRows:
    squares = np.ascontiguousarray(pixels[:, 2:22, 3:23])
    return ImageRows(squares, np.arange(7, dtype=np.int64) % 2, training_pipeline(recipe))


def keys_of(rows: Iterable[int]) -> list[tuple[int, int, int, int]]:
    """The keys of one batch, all of seed, fold and epoch 0."""
    return [(0, 0, 0, row) for row in rows]


@pytest.mark.parametrize("num_rows", [1, 2, 4, 5, 9, 13, 97])
def test_training_batches_cover_every_row_once_in_even_batches(num_rows, recipe):
    rows = np.arange(num_rows) * 3 + 1
    batches = training_batches(recipe, rows, fold=1, epoch=2)
    keys = [key for batch in batches for key in batch]
    sizes = [len(batch) for batch in batches]
    assert sorted(key[3] for key in keys) == rows.tolist()
    assert {key[:3] for key in keys} == {(5, 1, 2)}
    assert len(batches) == -(-num_rows // 4)
    assert max(sizes) <= 4
    assert max(sizes) - min(sizes) <= 1
    assert num_rows == 1 or min(sizes) >= 2


def test_an_empty_training_set_is_rejected(recipe):
    with pytest.raises(AssertionError, match="no rows to train on"):
        training_batches(recipe, [], 0, 0)


def test_order_depends_only_on_seed_fold_and_epoch(recipe):
    rows = np.arange(50)

    def order(recipe: Recipe, fold: int, epoch: int) -> list[int]:
        return [key[3] for batch in training_batches(recipe, rows, fold, epoch) for key in batch]

    other_seed = recipe.with_settings({"train.seed": 6})
    orders = [order(recipe, 0, 0), order(recipe, 1, 0), order(recipe, 0, 1), order(other_seed, 0, 0)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] != rows.tolist()
    assert order(recipe.with_settings({"train.epochs": 99}), 0, 0) == orders[0]


def test_an_item_is_the_output_of_the_pipeline_and_the_label(dataset):
    key = (5, 1, 2, 3)
    image, label = dataset[key]
    assert torch.equal(image, torch.from_numpy(dataset.pipeline(dataset.images[3], key)))
    assert label == 1
    assert len(dataset) == 7


def test_loading_from_a_memory_map(catalog, recipe):
    rows = ImageRows(open_images(catalog, VIEW), catalog.table["label"].to_numpy(), evaluation_pipeline(recipe))
    ((batch, labels),) = Loader(rows, 0, pin_memory=False)([keys_of(range(7))])
    assert batch.shape == (7, 3, 20, 20)
    assert batch.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_grayscale_gives_one_channel(dataset, recipe):
    gray = ImageRows(dataset.images, dataset.labels, evaluation_pipeline(replace(recipe, data=Data(grayscale=True))))
    assert gray[0, 0, 0, 0][0].shape == (1, 20, 20)


def test_results_do_not_depend_on_the_number_of_workers(dataset, recipe):
    epochs = [training_batches(recipe, range(7), 0, epoch) for epoch in (1, 2, 3)]
    in_process, two = Loader(dataset, 0, pin_memory=False), Loader(dataset, 2, pin_memory=False)
    for batches in epochs:
        expected, loaded = list(in_process(batches)), list(two(batches))
        assert [len(labels) for _, labels in expected] == [len(batch) for batch in batches]
        for (image, label), (other_image, other_label) in zip(expected, loaded, strict=True):
            assert torch.equal(image, other_image)
            assert torch.equal(label, other_label)
    two.close()


def test_workers_persist_across_epochs_and_exit_on_close(dataset, recipe):
    before = set(multiprocessing.active_children())
    loader = Loader(dataset, 1, pin_memory=False)
    alive = []
    for epoch in (1, 2):
        list(loader(training_batches(recipe, range(7), 0, epoch)))
        alive.append(set(multiprocessing.active_children()) - before)
    assert len(alive[0]) == 1
    assert alive[0] == alive[1]
    loader.close()
    assert set(multiprocessing.active_children()) <= before
    with pytest.raises(AssertionError, match="the loader is closed"):
        loader([])


def test_an_unfinished_epoch_does_not_affect_the_next(dataset, recipe):
    loader = Loader(dataset, 1, pin_memory=False)
    next(loader(training_batches(recipe, range(7), 0, 1)))
    batches = [keys_of([6]), keys_of([5])]
    loaded = list(loader(batches))
    assert [label.tolist() for _, label in loaded] == [[0], [1]]
    assert torch.equal(loaded[0][0][0], dataset[batches[0][0]][0])
    loader.close()


def test_closing_a_loader_in_the_middle_stops_its_workers(dataset):
    before = set(multiprocessing.active_children())
    loader = Loader(dataset, 1, pin_memory=False)
    next(loader([keys_of([row]) for row in range(7)]))
    assert len(set(multiprocessing.active_children()) - before) == 1
    loader.close()
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loading_does_not_change_torchs_random_state(num_workers, dataset):
    state = torch.get_rng_state()
    loader = Loader(dataset, num_workers, pin_memory=False)
    assert len(list(loader([keys_of([row, row + 1]) for row in range(6)]))) == 6
    loader.close()
    assert torch.equal(torch.get_rng_state(), state)


def _state_of_worker(image: np.ndarray, key: object) -> np.ndarray:
    interrupt_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    return np.array([cv2.getNumThreads(), torch.get_num_threads(), interrupt_ignored], dtype=np.float32)


def test_workers_are_single_threaded_and_ignore_interrupts(dataset):
    rows = ImageRows(dataset.images, dataset.labels, _state_of_worker)
    loader = Loader(rows, 1, pin_memory=False)
    ((state, _),) = loader([keys_of([0])])
    loader.close()
    # OpenCV reports 1 if its threads are disabled.
    assert state.tolist() == [[1.0, 1.0, 1.0]]


def test_real_images_equal_opencvs_decoding():
    root = os.environ.get("LEUKEMIA_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("real images: set LEUKEMIA_DATA to the folder that contains cnmc/")
    paths = sorted((Path(root) / "cnmc" / "C-NMC_training_data" / "fold_0" / "all").glob("*.bmp"))[:5]
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    table = pd.DataFrame(
        {
            "image_id": [path.name for path in paths],
            "path": [str(path) for path in paths],
            "pixel_sha256": [pixel_sha256(picture) for picture in pictures],
            "width": 450,
            "height": 450,
        }
    )
    catalog = Catalog(table=table, root=Path(root), layout="cnmc", fingerprint="a" * 64, duplicates=())
    assert np.array_equal(open_images(catalog, View(384, 384)), np.stack(pictures)[:, 33:417, 33:417])
