"""Lists of the parts of a split in text files: with labels, without a header, and beside folders of classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.layouts.source import Source
from leukemia.delivery.image_list import named_images
from tests.helpers.tables import labels_of, touch, typed, write_lines

PARTS = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}


def write_lists(root: Path, form: str, suffix: str = ".txt") -> Path:
    """A list of each part, with a line for each of its images."""
    for part, numbers in PARTS.items():
        lines = [form.format(number, label=number % 2, word=("hem", "all")[number % 2]) for number in numbers]
        write_lines(root / f"{part}{suffix}", *lines)
    return root


def parts_of(source: Source) -> Counter:
    return Counter(row.split for row in source.rows)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return touch(tmp_path, *(f"my cells/{number}.png" for number in range(12)))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Class folders with twelve images."""
    return touch(tmp_path, *(f"{('hem', 'all')[number % 2]}/{number}.png" for number in range(12)), "hem/notes.txt")


@pytest.mark.parametrize(
    "form",
    ["my cells/{0}.png {label}", "my cells/{0}.png\t{word}", "my cells/{0}.png,{label}", "{word}; my cells/{0}.png"],
)
def test_lists_with_labels_are_read_as_csvs_are(cells: Path, form: str) -> None:
    write_lists(cells, form)
    touch(cells, "README.txt")
    source = typed(cells)
    assert labels_of(source) == {f"my cells/{number}.png": number % 2 for number in range(12)}
    assert "the CSV has no header: its columns were taken as" in " ".join(source.notes)
    assert source.parts == "6 train, 3 validation, 3 test images, together; --split-column split keeps it"
    assert parts_of(typed(cells, options="--split-column split")) == {"train": 6, "validation": 3}
    assert len(typed(cells / "train.txt", cells / "val.txt").rows) == 9
    assert len(named_images([cells / "test.txt"])) == 3


def test_blanks_separate_the_header_too(cells: Path) -> None:
    path = write_lines(cells / "list.txt", "Path label", *(f"my cells/{row}.png   {row % 2}" for row in range(12)))
    source = typed(path)
    assert labels_of(source)["my cells/1.png"] == 1
    assert source.notes == (
        "the values in the CSV are separated by blanks",
        "classes (images): normal = 0 (6); leukemic = 1 (6)",
    )


@pytest.mark.parametrize(
    ("form", "suffix"),
    [("{word}/{0}.png", ".txt"), ("{0}.png", ".txt"), ("/content/set/{word}/{0}.png {label}", ".csv")],
)
def test_a_split_in_lists_beside_class_folders_is_found(folders: Path, form: str, suffix: str) -> None:
    write_lists(folders, form, suffix)
    source = typed(folders)
    assert source.parts == "6 train, 3 validation, 3 test images, together; --split-column split keeps it"
    assert source.named_notes[0] == f"read test{suffix}, train{suffix}, val{suffix} for the split only"
    assert not [note for note in source.named_notes if note.startswith("did not read test")]
    assert "ignored 1 file without an image suffix (.txt: 1)" in source.notes
    kept = typed(folders, options="--split-column split")
    assert parts_of(kept) == {"train": 6, "validation": 3}
    assert {path: row.split for path, row in zip(labels_of(kept), kept.rows, strict=True)}["hem/6.png"] == "validation"


def test_lists_in_a_folder_of_their_own_are_found(folders: Path) -> None:
    write_lists(folders / "splits", "{word}/{0}.png")
    assert parts_of(typed(folders, options="--split-column split")) == {"train": 6, "validation": 3}
    # Lists of several folders may be those of several splits.
    write_lists(folders / "other", "{word}/{0}.png")
    assert not typed(folders).parts


def test_columns_of_such_lists_are_named(folders: Path) -> None:
    for part, numbers in PARTS.items():
        rows = [f"{('hem', 'all')[number % 2]}/{number}.png,P{number // 2}" for number in numbers]
        write_lines(folders / f"{part}.csv", "Path,Patient ID", *rows)
    assert "did not read the columns Patient ID of test.csv, train.csv, val.csv" in " ".join(typed(folders).named_notes)


def test_lists_that_are_no_split_of_the_images_are_named(folders: Path) -> None:
    write_lists(folders, "{word}/{0}.png")
    touch(folders, "hem/12.png")
    reason = "1 of 13 images is in none of them, such as hem/12.png; add these to a list, or move them out of the"
    (note,) = typed(folders).named_notes
    assert note.startswith(f"test.txt, train.txt, val.txt are no split of the images: {reason}")
    with pytest.raises(UserError, match=rf"--split-column split: .*: {reason}"):
        typed(folders, options="--split-column split")
    write_lines(folders / "val.txt", *(f"hem/{number}.png" for number in (0, 12)))
    assert "hem/0.png is in train and val" in typed(folders).named_notes[0]


def test_a_list_without_labels_names_the_folder_that_has_them(folders: Path) -> None:
    write_lists(folders, "{word}/{0}.png")
    with pytest.raises(
        UserError, match=r"the folders of its images name classes: .* give their folder instead, "
    ) as no:
        typed(folders / "train.txt")
    assert len(typed(Path(str(no.value).partition("\n")[0].rpartition(", ")[2])).rows) == 12


def test_words_of_files_are_proposed_beside_lists_without_labels(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cells/{word}_{number}.png" for word in ("blast", "lympho") for number in range(4)))
    for part, number in (("train", 0), ("val", 2)):
        names = [f"{word}_{each}.png" for word in ("blast", "lympho") for each in (number, number + 1)]
        write_lines(tmp_path / f"{part}.txt", *names)
    with pytest.raises(UserError, match=r"the names of the files have words that may be classes:\n  blast \(4\)"):
        typed(tmp_path)
    source = typed(tmp_path, options="--classes normal=lympho leukemic=blast --split-column split")
    assert parts_of(source) == {"train": 4, "validation": 4}


def test_labels_of_boxes_and_notes_are_no_lists(folders: Path) -> None:
    write_lines(folders / "train.txt", "0 0.5 0.5 0.1 0.1")
    write_lines(folders / "test.txt", "See cell.png for an example.", "Thanks.")
    assert typed(folders).named_notes == ("did not read test.txt, train.txt",)


def test_lists_of_folds_beside_class_folders_are_the_split(tmp_path: Path) -> None:
    images = [f"{('hem', 'all')[number % 2]}/{number}.png" for number in range(12)]
    touch(tmp_path, *images)
    for fold in range(3):
        validated = images[4 * fold : 4 * fold + 4]
        write_lines(tmp_path / f"folds/val_{fold}.txt", *validated)
        write_lines(tmp_path / f"folds/train_{fold}.txt", *(path for path in images if path not in validated))
    kept = typed(tmp_path, options="--split-column split")
    assert {row.path.name: row.split for row in kept.rows} == {f"{n}.png": f"fold {n // 4}" for n in range(12)}
