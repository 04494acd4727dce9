"""An archive of arrays becomes the same images as files, with their labels and parts, or one error."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.pixels import decode
from leukemia.unpack import main

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (12, 32, 30, 3), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8)[:, np.newaxis] % 2


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_archive_of_medmnist_is_unpacked_and_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    arrays = {}
    for number, part in enumerate(("train", "val", "test")):
        of_part = slice(4 * number, 4 * number + 4)
        arrays |= {f"{part}_images": IMAGES[of_part], f"{part}_labels": LABELS[of_part]}
    np.savez_compressed(tmp_path / "cells.npz", **arrays)
    assert main([str(tmp_path / "cells.npz"), str(tmp_path / "new" / "cells")]) == 0
    path = tmp_path / "new" / "cells" / "images.csv"
    assert capsys.readouterr().out == f"{path}\n"
    listed = rows(path)
    assert listed[5] == {"Path": "val/1.png", "label": "1", "split": "val"}
    np.testing.assert_array_equal([decode(path.parent / row["Path"]) for row in listed], IMAGES)
    catalog = read_catalog(path)
    assert len(catalog.table) == 12
    with pytest.raises(UserError, match=r"cells already exists; remove it, or give a new folder$"):
        main([str(tmp_path / "cells.npz"), str(tmp_path / "new" / "cells")])


@pytest.mark.parametrize("labels", [None, np.array(["hem", "all"] * 6), np.arange(12)])
def test_images_without_parts(tmp_path: Path, labels: np.ndarray | None) -> None:
    np.savez(tmp_path / "cells.npz", images=IMAGES[..., 0], **({} if labels is None else {"labels": labels}))
    assert main([str(tmp_path / "cells.npz"), str(tmp_path / "cells")]) == 0
    listed = rows(tmp_path / "cells/images.csv")
    assert listed[3] == {"Path": "images/03.png"} | ({} if labels is None else {"label": str(labels[3])})
    np.testing.assert_array_equal(decode(tmp_path / "cells/images/03.png")[..., 1], IMAGES[3, ..., 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": IMAGES, "y": LABELS}, r"expected the arrays train_images, .*; found X, y$"),
        ({"images": IMAGES, "train_images": IMAGES}, r"expected the arrays .*found images, train_images$"),
        ({"images": IMAGES / 255}, r"array images: expected uint8 images .*, got float64 \(12, 32, 30, 3\); correct"),
        ({"images": np.zeros((2, 8, 8, 8), np.uint8)}, r"array images: expected uint8 .*, got uint8 \(2, 8, 8, 8\)"),
        ({"images": IMAGES[:0]}, r"array images: expected uint8 .*, got uint8 \(0, "),
        ({"images": np.asfortranarray(IMAGES)}, r"array images: expected C order .*, not Fortran order"),
        (
            {"train_images": IMAGES, "train_labels": LABELS[:5]},
            r"array train_labels: expected .*shape \(12,\) or \(12, 1",
        ),
        ({"images": IMAGES, "labels": np.ones((12, 14), np.int64)}, r"array labels: expected .*, got int64 \(12, 14\)"),
        ({"images": IMAGES, "labels": np.array([None] * 12)}, r"array labels: expected plain values, .*are pickles"),
    ],
)
def test_other_arrays_are_named_and_nothing_is_left(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "cells.npz", **arrays)
    with pytest.raises(UserError, match=message):
        main([str(tmp_path / "cells.npz"), str(tmp_path / "cells")])
    assert [path.name for path in tmp_path.iterdir()] == ["cells.npz"]


@pytest.mark.parametrize("damage", ["truncated", "changed", "text", "pickle", "missing"])
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cells.npz"
    np.savez(path, images=IMAGES)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[5000] ^= 1
    contents = {"truncated": whole[:5000], "changed": bytes(changed), "text": b"x", "pickle": pickle.dumps([1])}
    if damage in contents:
        path.write_bytes(contents[damage])
    else:
        path.unlink()
    with pytest.raises((UserError, FileNotFoundError), match=r"expected an .npz archive of arrays|cells.npz"):
        main([str(path), str(tmp_path / "cells")])
    assert not (tmp_path / "cells").exists()
