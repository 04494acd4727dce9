"""CSVs in the folders of a split, as Roboflow exports them: read, corrected and counted as one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers.layouts import draw_images

from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.reading import Reading

COUNTS = {"train": 4, "valid": 2, "test": 2}
WORDS = ("lymph", "blast")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))


def export(data: Path, name: str, header: str, row: str) -> Path:
    """A CSV of images in each part; in ``row``, 0 and 1 are the numbers of a class and of the other."""
    for seed, (part, number) in enumerate(COUNTS.items()):
        images = draw_images(data / part, number, seed=seed)
        rows = [row.format(path.name, n % 2, 1 - n % 2, WORDS[n % 2]) for n, path in enumerate(images)]
        (data / part / name.format(part)).write_text("\n".join([header, *rows]))
    return data


@pytest.mark.parametrize("name", ["_annotations.csv", "{}.csv"])
def test_words_are_counted_over_all_parts_and_mapped_at_the_second_try(tmp_path: Path, name: str) -> None:
    data = export(tmp_path / "data", name, "filename,width,height,class", "{0},32,32,{3}")
    with pytest.raises(
        UserError, match=r"'blast': row 3 and 3 more\n  'lymph': row 2 and 3 more\n.*blast,lymph"
    ) as error:
        read_catalog(data)
    assert str(error.value).startswith(f"{data}/*/")
    mapped = Reading(classes=("normal=lymph", "leukemic=blast"))
    catalog = read_catalog(data, mapped)
    assert Counter(catalog.table["label"]) == {0: 4, 1: 4}
    assert "test/001.png" in set(catalog.table["image_id"])
    assert "the data have a split, in the folders (4 train, 2 validation, 2 test images)" in "\n".join(catalog.notes)
    kept = read_catalog(data, Reading(classes=mapped.classes, split_column="split"))
    assert Counter(kept.table["split"]) == {"train": 4, "validation": 2}


def test_columns_of_a_table_of_classes_are_counted_over_all_parts(tmp_path: Path) -> None:
    data = export(tmp_path / "data", "_classes.csv", "filename, blast, lymph", "{0}, {1}, {2}")
    with pytest.raises(UserError, match=r"\n  blast, lymph: blast \(4\), lymph \(4\)\n"):
        read_catalog(data)
    assert len(read_catalog(data, Reading(label_column="blast")).table) == 8
    assert len(read_catalog(data, labels=False).table) == 8


def test_a_part_without_a_csv_is_excluded_and_missing_images_are_counted_over_all(tmp_path: Path) -> None:
    data = export(tmp_path / "data", "labels.csv", "Path,label", "{0},{1}")
    (data / "test" / "labels.csv").unlink()
    catalog = read_catalog(data)
    assert (len(catalog.table), catalog.excluded) == (6, ("test: 2 images that no CSV lists",))
    for part in ("train", "valid"):
        (data / part / "002.png").unlink()
    with pytest.raises(UserError, match=r"2 of 6 images do not exist"):
        read_catalog(data)


def test_paths_may_be_written_for_the_folder_above(tmp_path: Path) -> None:
    data = export(tmp_path / "data", "list.csv", "Path,label", "{0},{1}")
    for part in COUNTS:
        table = data / part / "list.csv"
        table.write_text(table.read_text().replace("00", f"{part}/00"))
    assert len(read_catalog(data).table) == 8
