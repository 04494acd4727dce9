"""Files of records that list images: JSON of scripts, COCO, VIA and Label Studio, and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.second_try import completed, found, refusal, rows_of, touch, write

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.record_file import records_of
from leukemia.data.reading import Reading

NAMES = [f"img_{number:02d}.png" for number in range(6)]
WORDS = ["normal", "ALL"]
RECORDS = [{"file": name, "label": WORDS[n % 2], "patient": f"P{n // 2}"} for n, name in enumerate(NAMES)]
COCO = {
    "info": {"description": "cells"},
    "images": [{"id": n, "file_name": name, "width": 60} for n, name in enumerate(NAMES)],
    "annotations": [
        # Two boxes of one class each.
        {"id": 2 * n + box, "image_id": n, "category_id": n % 2 + 1, "bbox": [box, 2, 3, 4]}
        for n in range(6)
        for box in range(2)
    ],
    "categories": [{"id": 1, "name": "normal"}, {"id": 2, "name": "ALL"}],
}
VIA = {
    f"{name}{9_000 + n}": {
        "filename": name,
        "size": 9_000 + n,
        "regions": [{"shape_attributes": {"name": "rect", "x": n}, "region_attributes": {"class": WORDS[n % 2]}}],
        "file_attributes": {},
    }
    for n, name in enumerate(NAMES)
}
LABEL_STUDIO = [
    {
        "id": n,
        "data": {"image": f"/data/upload/1/0a1b2c3{n}-{name}"},
        "annotations": [{"result": [{"value": {"choices": [WORDS[n % 2]]}, "type": "choices"}]}],
    }
    for n, name in enumerate(NAMES)
]


@pytest.mark.parametrize("folder", ["", "annotations/"])
@pytest.mark.parametrize(
    "content",
    [
        RECORDS,
        {"version": 1, "cells": RECORDS},
        {name: WORDS[n % 2] for n, name in enumerate(NAMES)},
        {name: {"class": WORDS[n % 2], "x": [1, 2]} for n, name in enumerate(NAMES)},
        {word: NAMES[n::2] for n, word in enumerate(WORDS)},
        COCO,
        VIA,
        {"_via_settings": {"ui": {"a": 1}}, "_via_img_metadata": VIA},
        LABEL_STUDIO,
    ],
)
def test_records_are_read_as_a_table(tmp_path: Path, content: Any, folder: str) -> None:
    write(touch(tmp_path, *(f"images/{name}" for name in NAMES)), {f"{folder}cells.json": json.dumps(content)})
    labels = {path: label for path, (label, _, _) in rows_of(found(tmp_path)).items()}
    assert labels == {f"images/{name}": n % 2 for n, name in enumerate(NAMES)}
    given = find_images(tmp_path / folder / "cells.json", Reading(base=str(tmp_path)), labels=True)
    assert {path: label for path, (label, _, _) in rows_of(given).items()} == labels


def test_json_lines_and_columns_are_read(tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, RECORDS))
    write(touch(tmp_path, *NAMES), {"cells.jsonl": lines})
    source = find_images(tmp_path, Reading(subject_column="patient"), labels=True)
    assert {path: row[:2] for path, row in rows_of(source).items()} == {
        name: (n % 2, f"P{n // 2}") for n, name in enumerate(NAMES)
    }


def test_unknown_words_of_records_are_mapped_at_the_second_try(tmp_path: Path) -> None:
    text = json.dumps(COCO).replace("ALL", "blast").replace("normal", "lymphocyte")
    message = refusal(write(touch(tmp_path, *NAMES), {"coco.json": text}))
    assert "write each of blast,lymphocyte after its class" in message
    assert len(found(tmp_path, *completed(message, "lymphocyte", "blast")).rows) == 6


def test_an_image_with_cells_of_both_classes_is_refused(tmp_path: Path) -> None:
    annotations = [each | {"category_id": each["id"] % 2 + 1} for each in COCO["annotations"]]  # type: ignore[operator, index]
    write(touch(tmp_path, *NAMES), {"coco.json": json.dumps(COCO | {"annotations": annotations})})
    assert "images have different labels in several rows" in refusal(tmp_path)


def test_other_json_is_no_table(tmp_path: Path) -> None:
    files = {
        "config.json": json.dumps({"names": ["a", "b"], "logo": "logo.png"}),
        "broken.json": '{"a.png": 1, "b.png"',
    }
    source = found(write(touch(tmp_path, "hem/1.png", "all/1.png"), files))
    assert [row.label for row in source.rows] == [1, 0]


def test_records_with_too_many_combinations_are_refused(tmp_path: Path) -> None:
    many = {name: [{name: str(n)} for n in range(101)] for name in "abc"}
    write(tmp_path, {"many.json": json.dumps(many)})
    with pytest.raises(UserError, match="more than 1000000 combinations"):
        records_of(tmp_path / "many.json")


def test_skipped_annotations_and_images_without_any_are_no_labels(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [dict(record) for record in LABEL_STUDIO]
    skipped = {"was_cancelled": True, "result": [{"value": {"choices": ["ALL"]}}]}
    records[0] = records[0] | {"annotations": [skipped, *records[0]["annotations"]]}
    records[1] = records[1] | {"annotations": []}
    message = refusal(write(touch(tmp_path, *NAMES), {"export.json": json.dumps(records)}))
    assert "\n  row 2: no label\n" in message
    typed = completed(message, "", "")
    assert typed == ["normal=normal", "leukemic=ALL", "ignore=no-label"]
    labels = {path: label for path, (label, _, _) in rows_of(found(tmp_path, *typed)).items()}
    assert labels == {name: n % 2 for n, name in enumerate(NAMES) if n != 1}


@pytest.mark.parametrize("folder", ["upload/1", "cells"])
@pytest.mark.parametrize("has_digits", [True, False])
@pytest.mark.parametrize("is_short", [True, False])
def test_files_of_label_studio_may_have_its_digits(
    tmp_path: Path, folder: str, has_digits: bool, is_short: bool
) -> None:
    """With its media folder, or with the files that were uploaded; as JSON or JSON-MIN."""
    long = [record["data"]["image"] for record in LABEL_STUDIO]
    short = [{"image": name, "id": n, "cell_type": WORDS[n % 2]} for n, name in enumerate(long)]
    names = [Path(name).name if has_digits else Path(name).name[9:] for name in long]
    touch(tmp_path, *(f"{folder}/{name}" for name in names))
    write(tmp_path, {"export.json": json.dumps(short if is_short else LABEL_STUDIO)})
    reading = Reading(label_column="cell_type" if is_short else None)
    labels = {path: label for path, (label, _, _) in rows_of(find_images(tmp_path, reading, labels=True)).items()}
    assert labels == {f"{folder}/{name}": n % 2 for n, name in enumerate(names)}


def test_lists_of_the_images_of_patients_are_subjects(tmp_path: Path) -> None:
    """Beside lists of the parts in a folder of their own, with the paths of another machine."""
    patients = {f"patient_{n:02d}": NAMES[2 * n : 2 * n + 2] for n in range(3)}
    lists = {
        f"splits/{part}.txt": "".join(f"/home/me/data/images/{NAMES[n]} {n % 2}\n" for n in rows)
        for part, rows in (("train", range(4)), ("val", range(4, 6)))
    }
    touch(tmp_path, *(f"images/{name}" for name in NAMES), f"masks/{NAMES[0]}")
    source = found(write(tmp_path, {"patients.json": json.dumps(patients)} | lists))
    assert rows_of(source) == {
        f"images/{name}": (n % 2, f"patient_{n // 2:02d}", ("train", "validation")[n // 4])
        for n, name in enumerate(NAMES)
    }
