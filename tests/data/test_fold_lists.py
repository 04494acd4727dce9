"""Lists of the training and validation images of each fold: read as one data set, with its folds."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.layouts.source import Source
from tests.helpers.tables import touch, typed, write_lines

HEADER = "image,label,patient"
ROWS = [f"images/p{row // 4}_{row % 4}.png,{'hem all'.split()[row // 4 % 2]},p{row // 4}" for row in range(24)]
FOLDS = [ROWS[:8], ROWS[8:16], ROWS[16:]]

Named = Callable[[int, str], str]


def without(fold: int) -> list[str]:
    """The training images of a fold."""
    return [row for row in ROWS if row not in FOLDS[fold]]


def write_folds(data: Path, named: Named) -> Path:
    """24 images of six patients and a list of each part of three folds, with paths from the outer folder."""
    touch(data, *(row.split(",")[0] for row in ROWS))
    for fold in range(3):
        write_lines(data / named(fold, "train"), HEADER, *without(fold))
        write_lines(data / named(fold, "val"), HEADER, *FOLDS[fold])
    return data


def parts(source: Source) -> Counter[str | None]:
    return Counter(row.split for row in source.rows)


@pytest.mark.parametrize(
    "named",
    [
        lambda fold, part: f"folds/fold{fold}_{part}.csv",
        lambda fold, part: f"{part}_fold_{fold}.csv",
        lambda fold, part: f"lists/split-{fold}_{part.replace('val', 'test')}.csv",
        lambda fold, part: f"fold{fold}/{part}.csv",
        lambda fold, part: f"cv/{part}_{fold}.csv",
    ],
)
def test_lists_of_folds_are_read_as_one_data_set(tmp_path: Path, named: Named) -> None:
    data = write_folds(tmp_path, named)
    source = typed(data, options="--subject-column patient")
    assert parts(source) == {f"fold {fold}": 8 for fold in range(3)}
    assert "--split-column split keeps it" in source.parts
    assert any(note.startswith("the CSVs are 3 folds: each is what its list of") for note in source.notes)
    kept = typed(data, options="--split-column split")
    assert parts(kept) == parts(source)
    assert "kept apart" in kept.parts
    assert {row.subject for row in source.rows if row.split == "fold 1"} == {"p2", "p3"}


def test_the_lists_may_be_given_in_the_place_of_their_folder(tmp_path: Path) -> None:
    data = write_folds(tmp_path, lambda fold, part: f"folds/fold{fold}_{part}.csv")
    validated = [data / f"folds/fold{fold}_val.csv" for fold in range(3)]
    every = [*validated, *(data / f"folds/fold{fold}_train.csv" for fold in range(3))]
    for given in (validated, every, [data / "folds"]):
        assert parts(typed(*given, options="--split-column split")) == {f"fold {fold}": 8 for fold in range(3)}
    assert parts(typed(every[0], every[3], options="--split-column split")) == {"train": 16, "validation": 8}


def test_a_test_set_stays_and_a_list_of_all_images_is_left_out(tmp_path: Path) -> None:
    data = write_folds(tmp_path, lambda fold, part: f"fold{fold}_{part}.csv")
    write_lines(data / "all.csv", HEADER, *ROWS)
    write_lines(touch(data, "images/t.png") / "test.csv", HEADER, "images/t.png,all,t")
    source = typed(data)
    assert parts(source) == {**{f"fold {fold}": 8 for fold in range(3)}, "test": 1}
    assert "left out all.csv, whose images are in the lists of the folds" in source.named_notes
    assert parts(typed(data, options="--split-column split")) == {f"fold {fold}": 8 for fold in range(3)}


@pytest.mark.parametrize("kind", ["overlap", "gap", "all"])
def test_other_lists_with_images_in_common_are_refused_with_some_that_have_none(tmp_path: Path, kind: str) -> None:
    data = write_folds(tmp_path, lambda fold, part: f"folds/fold{fold}_{part}.csv")
    if kind == "overlap":
        write_lines(data / "folds/fold0_val.csv", HEADER, *FOLDS[0], ROWS[-1])
    elif kind == "gap":
        write_lines(data / "folds/fold2_train.csv", HEADER, *without(2)[1:])
    else:
        data = tmp_path / "few"
        touch(data, *(row.split(",")[0] for row in ROWS))
        for name, rows in (("all", ROWS), ("train", ROWS[:16]), ("valid", ROWS[16:])):
            write_lines(data / f"{name}.csv", HEADER, *rows)
    with pytest.raises(UserError, match=r"the CSVs have \d+ images in common; remove them from one, or give") as caught:
        typed(data)
    typical = str(caught.value).splitlines()[-1].partition("for example, these have none in common: ")[2]
    *paths, option, value = shlex.split(typical)
    assert "--data" not in str(caught.value)
    source = typed(*map(Path, paths), options=f"{option} {value}")
    assert set(parts(source)) == {"train", "validation"}
    assert len(source.rows) == 24


def test_lists_of_folds_with_other_labels_are_refused(tmp_path: Path) -> None:
    data = write_folds(tmp_path, lambda fold, part: f"fold{fold}_{part}.csv")
    write_lines(data / "fold1_train.csv", HEADER, ROWS[0].replace("hem", "all"), *without(1)[1:])
    with pytest.raises(
        UserError, match=r"different labels or subjects .*:\n  images/p0_0.png in fold0_val and fold1_t"
    ):
        typed(data)


def test_numbered_lists_without_images_in_common_stay_parts(tmp_path: Path) -> None:
    touch(tmp_path, *(row.split(",")[0] for row in ROWS))
    for number, start in ((2021, 0), (2022, 12)):
        write_lines(tmp_path / f"train_{number}.csv", HEADER, *ROWS[start : start + 8])
        write_lines(tmp_path / f"val_{number}.csv", HEADER, *ROWS[start + 8 : start + 12])
    assert parts(typed(tmp_path)) == {"train": 16, "validation": 8}
