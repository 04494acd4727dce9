"""The first reading decodes each image once, for its hash and for the view; the view is the one of ``open_images``."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.cells import draw_cells
from helpers.deliveries import searched
from helpers.full_disk import full_disk
from helpers.terminal import on_terminal
from PIL import Image

from leukemia.base import checksums, files, threads
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data, Model
from leukemia.data import hashes, images
from leukemia.data.catalog import read_catalog
from leukemia.data.images import open_images
from leukemia.data.pixels import Decoded, decode, read_image
from leukemia.data.reading import DEFAULT
from leukemia.data.view import View, view_of
from leukemia.delivery.training_data import load_training_data
from leukemia.study.best import Best
from search.planning.plan import plan_new
from search.planning.request import Request

FORK = multiprocessing.get_context("fork")
RECIPE = Recipe()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path: Path, cache: Path) -> Path:
    """48 images of 32 px; one is wider, one stored on its side, one a JPEG."""
    folder = draw_cells(tmp_path / "cells", seed=3)
    wide, turned, lossy = sorted(folder.rglob("*.png"))[:3]
    pixels = np.random.default_rng(1).integers(0, 256, (35, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(wide)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    Image.fromarray(pixels[:, :40]).save(turned, exif=orientation)
    Image.fromarray(pixels).save(lossy.with_suffix(".jpg"))
    lossy.unlink()
    return folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are decoded."""
    names: list[str] = []

    def counting(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def counted(path: Path) -> Any:
            names.append(path.name)
            return read(path)

        return counted

    monkeypatch.setattr(hashes, "read_image", counting(read_image))
    monkeypatch.setattr(images, "decode", counting(decode))
    return names


def views(cache: Path) -> list[str]:
    """Names of all files of decoded images, without the locks."""
    return sorted(path.name for path in (cache / "views").glob("*") if path.suffix != ".lock")


@pytest.mark.parametrize(
    "section", [Data(), Data(size_px=32), Data(crop_px=32)], ids=["default", "size given", "crop given"]
)
def test_each_image_is_decoded_once_and_the_view_is_that_of_open_images(
    section: Data, data: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    catalog = read_catalog(data, recipe=Recipe(data=section))
    view = view_of(Recipe(data=section).resolved(catalog.sizes))
    first = open_images(catalog, view)
    assert sorted(decoded) == sorted(Path(path).name for path in catalog.table["path"])
    names = views(cache)
    assert names == [f"{catalog.fingerprint[:16]}-c32-s32.npy"]
    content = (cache / "views" / names[0]).read_bytes()
    # Another cache, where hashes and view come from a decoding each.
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "other"))
    twice = read_catalog(data)
    assert twice.fingerprint == catalog.fingerprint
    assert twice.table.equals(catalog.table)
    assert np.array_equal(open_images(twice, view), first)
    assert len(decoded) == 3 * len(catalog.table)
    assert views(tmp_path / "other") == names
    assert (tmp_path / "other" / "views" / names[0]).read_bytes() == content


def test_a_resized_view_is_that_of_open_images(cache: Path, tmp_path: Path, decoded: list[str]) -> None:
    generator = np.random.default_rng(0)
    for label in ("hem", "all"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number, side in enumerate((60, 75, 61)):
            pixels = generator.integers(0, 256, (side, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / label / f"{number}.bmp")
    view = View(crop_px=61, size_px=45, small="pad")
    catalog = read_catalog(tmp_path / "set", recipe=Recipe(data=Data(size_px=45)))
    once = open_images(catalog, view).copy()
    assert len(decoded) == 6
    shutil.rmtree(cache / "views")
    assert np.array_equal(open_images(catalog, view), once)


def test_a_search_decodes_each_image_once(data: Path, tmp_path: Path, decoded: list[str]) -> None:
    plan = plan_new(Request(data=str(data), runs=tmp_path / "runs", study="first", given={}), "")
    open_images(plan.catalog, plan.view)
    assert len(decoded) == len(plan.catalog.table)


def test_a_retraining_on_another_machine_decodes_each_image_once(
    data: Path, cache: Path, tmp_path: Path, decoded: list[str]
) -> None:
    study = searched(tmp_path / "runs", read_catalog(data), str(data))
    shutil.rmtree(cache)
    del decoded[:]
    best = Best.of(study)
    catalog = load_training_data(study, best, data=None, reading=DEFAULT)
    open_images(catalog, view_of(best.recipe.resolved(catalog.sizes)))
    assert len(decoded) == 48


def test_a_command_that_shows_no_images_stores_none(data: Path, cache: Path, decoded: list[str]) -> None:
    catalog = read_catalog(data)
    assert not (cache / "views").exists()
    assert len(decoded) == len(catalog.table)


def test_another_view_is_decoded_and_checked_once_more(data: Path, cache: Path, decoded: list[str]) -> None:
    catalog = read_catalog(data, recipe=RECIPE)
    del decoded[:]
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(catalog.table["path"][5])
    with pytest.raises(UserError, match=r"1 of 48 images has changed .*\n  .*: pixels differ"):
        open_images(catalog, View(crop_px=20, size_px=20))
    assert len(decoded) == len(catalog.table)


def test_images_that_are_cached_are_not_decoded_again(data: Path, cache: Path, decoded: list[str]) -> None:
    read_catalog(data)
    del decoded[:]
    changed = next(data.rglob("*.png"))
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(changed)
    read_catalog(data, recipe=RECIPE)
    assert decoded == [changed.name]
    assert not (cache / "views").exists()


def test_a_data_set_that_is_unpacked_again_has_one_view(data: Path, cache: Path) -> None:
    for _ in range(2):
        catalog = read_catalog(data, recipe=RECIPE)
        open_images(catalog, View(crop_px=32, size_px=32))
        assert views(cache) == [f"{catalog.fingerprint[:16]}-c32-s32.npy"]
        for path in catalog.table["path"]:
            os.utime(path)


def test_changed_labels_keep_the_decoded_images(data: Path, cache: Path, decoded: list[str]) -> None:
    """The view is stored before the labels are known."""
    table = pd.DataFrame({"Path": sorted(path.relative_to(data).as_posix() for path in data.rglob("*.*"))})
    table.assign(label=1).to_csv(data / "list.csv", index=False)
    with pytest.raises(UserError, match="expected images of both classes"):
        read_catalog(data / "list.csv", recipe=RECIPE)
    table.assign(label=[number % 2 for number in range(48)]).to_csv(data / "list.csv", index=False)
    catalog = read_catalog(data / "list.csv", recipe=RECIPE)
    open_images(catalog, View(crop_px=32, size_px=32))
    assert len(decoded) == 48


@pytest.mark.parametrize(
    "recipe",
    [Recipe(data=Data(crop_px=33)), replace(RECIPE, model=Model(pretrained="absent.safetensors"))],
    ids=["crop too large", "no weights"],
)
def test_what_is_wrong_with_a_recipe_is_left_to_its_command(recipe: Recipe, data: Path, decoded: list[str]) -> None:
    catalog = read_catalog(data, recipe=recipe)
    assert len(decoded) == len(catalog.table)


def test_unreadable_images_are_listed_and_nothing_is_left(data: Path, cache: Path, decoded: list[str]) -> None:
    paths = sorted(data.rglob("*.png"))
    paths[3].write_bytes(paths[3].read_bytes()[:-30])
    with pytest.raises(UserError, match=r"1 of 48 images cannot be used; .*\n  .*: truncated$"):
        read_catalog(data, recipe=RECIPE)
    paths[7].write_bytes(b"")
    with pytest.raises(UserError, match=r"2 of 48 images cannot be used; .*\n  .*: truncated\n  .*: empty file$"):
        read_catalog(data, recipe=RECIPE)
    assert views(cache) == []
    # The others are in the cache of hashes.
    assert len(decoded) == 48 + 2


def test_an_interrupt_keeps_the_hashes_and_no_file(
    data: Path, cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = hashes.read_image

    def interrupted(path: Path) -> Decoded:
        if len(decoded) == 20:
            raise KeyboardInterrupt
        return counting(path)

    monkeypatch.setattr(threads, "available_cpus", lambda: 1)
    with monkeypatch.context() as patched:
        patched.setattr(hashes, "read_image", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_catalog(data, recipe=RECIPE)
    assert views(cache) == []
    read_catalog(data, recipe=RECIPE)
    assert len(decoded) == 48


def test_hashes_are_stored_before_the_view_is_complete(
    data: Path, cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that is killed now has lost the view only, which is then built again; its file is removed."""

    def killed(path: Path) -> None:
        shutil.copy(path, cache / "left.tmp")
        (rows,) = (cache / "hashes").glob("*.json")
        assert len(files.read_json(rows)["images"]) == 48
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checksums, "append_checksums", killed)
        with pytest.raises(KeyboardInterrupt):
            read_catalog(data, recipe=RECIPE)
    (cache / "left.tmp").rename(cache / "views" / f".reading-{hashes._key(data)}-c32-s32.npy.0.tmp")
    catalog = read_catalog(data, recipe=RECIPE)
    assert len(decoded) == 48
    open_images(catalog, View(crop_px=20, size_px=20))
    assert views(cache) == [f"{catalog.fingerprint[:16]}-c20-s20.npy"]


def test_disk_space_is_checked_before_decoding(
    data: Path, cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(data)._replace(free=48 * 32 * 32 * 3)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"not enough disk space for the decoded images \(48 of 32 px\)"):
        read_catalog(data, recipe=RECIPE)
    assert decoded == []
    assert views(cache) == []


def test_a_disk_that_fills_up_is_an_error_and_leaves_no_file(data: Path, cache: Path) -> None:
    with full_disk(100_000), pytest.raises(OSError, match="File too large"):
        read_catalog(data, recipe=RECIPE)
    assert views(cache) == []
    assert len(read_catalog(data, recipe=RECIPE).table) == 48


def _read_slowly(data: Path, started: Any, num_decoded: Any, results: Any) -> None:
    def slow(path: Path) -> Decoded:
        with num_decoded.get_lock():
            num_decoded.value += 1
        started.set()
        time.sleep(0.01)
        return read_image(path)

    hashes.read_image, images.decode = slow, lambda path: slow(path).pixels
    catalog = read_catalog(data, recipe=RECIPE)
    results.put((catalog.fingerprint, open_images(catalog, View(crop_px=32, size_px=32)).tobytes()))


@pytest.fixture
def reading(data: Path) -> Iterator[tuple[Any, Any, Any]]:
    """A process that reads the data for the first time, slowly: the process, its count of images, and its result."""
    started, num_decoded, results = FORK.Event(), FORK.Value("i", 0), FORK.Queue()
    process = FORK.Process(target=_read_slowly, args=(data, started, num_decoded, results))
    process.start()
    assert started.wait(timeout=300)
    yield process, num_decoded, results
    process.kill()
    process.join(timeout=300)


def test_of_two_commands_one_reads_and_the_other_waits(
    data: Path, reading: tuple[Any, Any, Any], decoded: list[str]
) -> None:
    process, num_decoded, results = reading
    with on_terminal() as terminal:
        catalog = read_catalog(data, recipe=RECIPE)
    assert "waiting for another command" in terminal.getvalue()
    opened = open_images(catalog, View(crop_px=32, size_px=32)).tobytes()
    assert results.get(timeout=300) == (catalog.fingerprint, opened)
    process.join(timeout=300)
    assert num_decoded.value == 48
    assert decoded == []


@pytest.mark.parametrize("recipe", [RECIPE, None], ids=["a search", "leukemia.catalog"])
def test_leftovers_of_a_killed_reading_are_removed(
    recipe: Recipe | None, data: Path, cache: Path, reading: tuple[Any, Any, Any]
) -> None:
    process, _, _ = reading
    os.kill(process.pid, signal.SIGKILL)
    process.join(timeout=300)
    (leftover,) = views(cache)
    assert leftover.endswith(".tmp")
    catalog = read_catalog(data, recipe=recipe)
    assert leftover not in views(cache)
    open_images(catalog, View(crop_px=32, size_px=32))
    assert views(cache) == [f"{catalog.fingerprint[:16]}-c32-s32.npy"]


def test_reading_a_few_slow_images_is_shown(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(path: Path) -> Decoded:
        terminal.wait_for("reading images")
        return read_image(path)

    monkeypatch.setattr(hashes, "read_image", slow)
    with on_terminal() as terminal:
        assert len(read_catalog(data, recipe=RECIPE).table) == 48
