"""Versions of one image by their names: said, and on one side of a split where subjects are unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image

from leukemia.data.catalog import read_catalog
from leukemia.data.description import describe
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


PARTS = [
    *(f"Train/{{0}}/cell_{{1:03d}}{end}.jpg" for end in ("", "_flip", "_bright")),
    "Validation/{0}/cell_{1:03d}_rot90.jpg",
]
"""Copies that a script has written, one of them in another part of the split than its original."""


def test_copies_in_another_part_of_a_split_are_of_the_original(tmp_path: Path) -> None:
    draw_versions(tmp_path, PARTS)
    together = read_catalog(tmp_path)
    assert any(note.startswith("48 images are versions of 12 originals") for note in together.notes)
    assert "12 (images with identical pixels and versions of one original form one group)" in describe(together)
    assert not any("--subject-pattern" in note for note in together.subject_notes)
    for fold in make_splits(together, 3, 0, "random-cell").folds:
        assert {name[-13:-4] for name in fold.training}.isdisjoint({name[-13:-4] for name in fold.validation})
    kept = read_catalog(tmp_path, Reading(split_column="split")).notes
    assert any(
        note.startswith("warning: 48 images are versions of 12 originals")
        and note.endswith("12 originals have versions on both sides of the given split")
        for note in kept
    )


@pytest.mark.parametrize(
    ("names", "firsts"),
    [
        # Words of another language follow the names of several originals.
        (["c1", "c1_giro", "c2", "c2_giro", "c3_giro"], [0, 0, 2, 2, 4]),
        (["c1", "c1_odd", "c2"], [0, 1, 2]),
        (["c_40x", "c_100x", "d_40x"], [0, 0, 2]),
        (["ALL_7", "output/ALL_original_ALL_7.png_" + "0a1b2c3d-" * 4], [0, 0]),
        (["Original/7", "Macenko/7", "flipped/7"], [0, 0, 0]),
        (["rot_90_7", "7_hflip_blur", "7 - Copy (2)", "7 copy 2", "7_gamma_0.8", "8"], [0, 0, 0, 0, 0, 5]),
        (["7", "7_noise_25", "8_noise_1", "8_noise_2"], [0, 0, 2, 3]),
        # Images are numbered from 0 in each part, each of which has the originals of its copies.
        (["train/0", "train/0_flip", "val/0", "val/0_flip"], [0, 0, 2, 2]),
        (["train/0", "val/0_flip", "train/1", "val/1"], [0, 0, 2, 3]),
        # Cells of a field, not copies.
        (["slide_crop_1", "slide_crop_2", "slide_dark_12", "slide_dark_13"], [0, 1, 2, 3]),
    ],
)
def test_versions_by_their_names(names: list[str], firsts: list[int]) -> None:
    image_ids = [f"{name.rstrip('-')}.png" for name in names]
    assert originals(image_ids) == [image_ids[first] for first in firsts]
