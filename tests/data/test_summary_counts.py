"""The numbers of images in the notes add up to those in the first lines of the summary."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from helpers.layouts import draw_images

from leukemia.catalog import main

COUNTS = {"train": 6, "test": 2}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))


def in_folders(data: Path) -> list[str]:
    for number, (part, word) in enumerate(product(COUNTS, ("healthy", "leukaemia"))):
        draw_images(data / part / word, COUNTS[part], seed=number)
    return []


def in_a_csv(data: Path) -> list[str]:
    images = draw_images(data / "images", 16)
    rows = [f"images/{path.name},{('healthy', 'leukaemia')[n % 2]},{'train' if n < 12 else 'test'}"
            for n, path in enumerate(images)]  # fmt: skip
    (data / "list.csv").write_text("\n".join(["Path,label,split", *rows]))
    return []


def with_ignored_words(data: Path) -> list[str]:
    in_folders(data)
    draw_images(data / "train" / "smudge", 3, seed=5)
    return ["--classes", "normal=healthy", "leukemic=leukaemia", "ignore=smudge"]


@pytest.mark.parametrize("make", [in_folders, in_a_csv, with_ignored_words])
def test_left_out_test_images_are_in_no_number_of_the_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], list[str]]
) -> None:
    data = tmp_path / "data"
    options = make(data)
    assert main([str(data), *options, "--split-column", "split"]) == 0
    output = capsys.readouterr().out
    assert "images:      12 (6 healthy, 6 leukaemia)" in output
    assert "classes (images): normal = healthy (6); leukemic = leukaemia (6)\n" in output
    assert "4 images of test are left out" in output
    assert ("--classes leaves out 3 of 19 images" in output) == bool(options)
    assert main([str(data), *options]) == 0
    output = capsys.readouterr().out
    assert "images:      16 (8 healthy, 8 leukaemia)" in output
    assert "normal = healthy (8); leukemic = leukaemia (8)\n" in output


def test_the_summary_names_each_class_with_its_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"Reactive": 2, "Normal": 3, "L1": 2, "L2": 3}
    for seed, (word, number) in enumerate(numbers.items()):
        draw_images(tmp_path / "data" / "slides" / word / "P1", number, seed=seed)
    assert main([str(tmp_path / "data"), "--classes", "normal=Normal,reactive", "leukemic=L1,L2"]) == 0
    output = capsys.readouterr().out
    assert "classes (images): normal = Normal (3), Reactive (2); leukemic = L1 (2), L2 (3)\n" in output
    first = re.search(r"images: +10 \((\d+) normal, (\d+) leukemic\)", output)
    assert first is not None
    assert first.groups() == ("5", "5")


def test_a_copied_folder_is_named_and_ten_duplicates_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("dataset", "dataset - copia"):
        for seed, word in enumerate(("hem", "all")):
            draw_images(tmp_path / "data" / folder / word, 6, seed=seed)
    assert main([str(tmp_path / "data")]) == 0
    text = capsys.readouterr().out
    assert "duplicates:  12; dataset - copia/ and dataset/ have 12 images in common, at the same paths: one is" in text
    assert text.count("               dataset - copia/") == 10
    assert "... and 2 more; all 12 are in " in text
