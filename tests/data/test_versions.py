"""Versions of one image by their names: said, and on one side of a split where subjects are unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image

from leukemia.data.catalog import read_catalog
from leukemia.data.folds import make_splits
from leukemia.data.reading import DEFAULT, Reading
from leukemia.data.versions import distinct_images, originals

NAMES = {
    "Roboflow": [f"{{0}}/P2_cell{{1:03d}}_jpg.rf.{digest * 32}.jpg" for digest in "a0f"],
    "augmented": ["{0}/cell {1}.png", "{0}/cell {1}_aug1.png", "{0}/aug_2_cell {1}.png"],
    "magnified": ["40x/{0}/cell{1}.png", "100x/{0}/cell{1}.png", "x20/{0}/cell{1}.png"],
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path_factory.mktemp("cache")))


def draw_versions(root: Path, patterns: list[str], *, originals_per_class: int = 6) -> Path:
    generator = np.random.default_rng(0)
    for number in range(2 * originals_per_class):
        for pattern in patterns:
            path = root / pattern.format(("hem", "all")[number % 2], number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw_cell(generator, number % 2)).save(path)
    return root


@pytest.mark.parametrize("patterns", NAMES.values(), ids=NAMES)
def test_versions_of_an_image_stay_on_one_side_of_a_split(tmp_path: Path, patterns: list[str]) -> None:
    catalog = read_catalog(draw_versions(tmp_path, patterns))
    note = (
        "36 images are versions of 12 originals, by their names; a split keeps those of one original on the same side"
    )
    assert note in catalog.notes
    assert catalog.subject_notes[-1].startswith("these originals have several versions: ")
    first = dict(zip(catalog.table["image_id"], originals(list(catalog.table["image_id"])), strict=True))
    for fold in make_splits(catalog, 3, 0, "random-cell").folds:
        assert len(fold.validation) == 12
        assert {first[name] for name in fold.training}.isdisjoint(first[name] for name in fold.validation)


def test_known_subjects_and_other_names_are_split_as_before(tmp_path: Path) -> None:
    data = draw_versions(tmp_path / "versions", NAMES["augmented"])
    table = read_catalog(data, Reading(subject_pattern=r"cell (\d+)")).table
    assert distinct_images(table).equals(table["pixel_sha256"])
    plain = read_catalog(draw_versions(tmp_path / "plain", ["{0}/UID{1}_august.png", "{0}/20x{1}.png"]), DEFAULT)
    assert distinct_images(plain.table).equals(plain.table["pixel_sha256"])
    assert not any("versions" in note for note in plain.remarks)


def test_versions_on_both_sides_of_a_given_split_are_a_warning(tmp_path: Path) -> None:
    draw_versions(tmp_path, ["train/{0}/{1}_aug1.png", "train/{0}/{1}_aug2.png", "val/{0}/x{1}.png"])
    reading = Reading(split_column="split")
    note = "24 images are versions of 12 originals, by their names; 0 originals have versions on both sides"
    assert any(each.startswith(note) for each in read_catalog(tmp_path, reading).notes)
    rows = "".join(
        f"{path.relative_to(tmp_path)},{int(path.parent.name == 'all')},{('train', 'val')['aug2' in path.name]}\n"
        for path in sorted(tmp_path.rglob("*_aug*"))
    )
    (tmp_path / "list.csv").write_text(f"Path,label,split\n{rows}")
    notes = read_catalog(tmp_path / "list.csv", reading).notes
    assert any(each.startswith("warning: 24 images are versions of 12 originals") for each in notes)
    assert any("12 originals have versions on both sides of the given split" in each for each in notes)
