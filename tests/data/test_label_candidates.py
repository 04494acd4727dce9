"""Folders of tables without a column called for labels: which table is named, and which of its columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from tests.helpers.second_try import before_list
from tests.helpers.tables import labels_of, touch, typed, write_lines

TRAIN = [f"{row}.png,{row // 2},2020-01-0{1 + row // 4},{'mf'[row // 4]},{row % 2}" for row in range(8)]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Twelve images and the example of a submission."""
    touch(tmp_path, *(f"images/{number}.png" for number in range(12)))
    write_lines(tmp_path / "sample_submission.csv", "foto,pred", *(f"{number}.png,0" for number in range(8, 12)))
    write_lines(tmp_path / "a_test.csv", "foto", *(f"{number}.png" for number in range(8, 12)))
    return tmp_path


def refusal(data: Path) -> str:
    with pytest.raises(UserError) as refused:
        typed(data)
    return str(refused.value)


@pytest.mark.parametrize("template", ["foto,pred", "foto,label"])
def test_the_table_with_candidates_is_named_before_tests_and_templates(cells: Path, template: str) -> None:
    lines = [f"{number}.png,{number % 2}" for number in range(8, 12)]
    write_lines(cells / "sample_submission.csv", template, *lines)
    words = [f"{line},{('gesund', 'blasten')[row % 2]}" for row, line in enumerate(TRAIN)]
    write_lines(cells / "train.csv", "foto,who,birth date,sex,smoker,diagnose", *words)
    message = refusal(cells)
    head, *columns, last = before_list(message).splitlines()
    assert head.startswith(f"{cells / 'train.csv'}: expected a column of labels")
    assert columns == ["  diagnose: blasten (4), gesund (4)", "  smoker: 0 (4), 1 (4)", *columns[2:]]
    assert [column.split(":")[0].strip() for column in columns] == ["diagnose", "smoker", "who"]
    line = last.rpartition(": ")[2].replace("normal=WORD,...", "normal=gesund").replace("WORD,...", "blasten")
    assert labels_of(typed(cells, options=line)) == {f"images/{row}.png": row % 2 for row in range(8)}


def test_a_table_that_cannot_be_read_comes_last(cells: Path) -> None:
    write_lines(cells / "a.csv", "one,two", "1")
    write_lines(cells / "b.csv", "patient,age", "1,2", "2,3")
    words = [f"{line},{('gesund', 'blasten')[row % 2]}" for row, line in enumerate(TRAIN)]
    write_lines(cells / "images.csv", "foto,who,date,sex,flag,group", *words)
    assert refusal(cells).startswith(f"{cells / 'images.csv'}: ")


def test_a_template_with_the_ids_of_the_training_images_is_one(cells: Path) -> None:
    touch(cells, *(f"train/{number:03}.jpg" for number in range(8)))
    write_lines(cells / "train_labels.csv", "id,label", *(f"{number},{number % 2}" for number in range(8)))
    write_lines(cells / "sample_submission.csv", "id,label", *(f"{number},0" for number in range(4)))
    source = typed(cells, options=f"--base '{cells / 'train'}'")
    assert labels_of(source)["007.jpg"] == 1
    assert any(
        "sample_submission.csv (4 rows), by its name the example of a submission" in note for note in source.named_notes
    )


def test_dates_sexes_and_ids_are_no_labels(cells: Path) -> None:
    rows = [
        f"{row}.png,2020-01-0{1 + row // 4},{'mw'[row // 4]},{1000 + row // 4},{20 + row % 2},{row % 4}"
        for row in range(8)
    ]
    write_lines(cells / "train.csv", "foto,seen,Geschl.,order,age,fold", *rows)
    assert "; add one, or rename it in the header" in refusal(cells)


def test_columns_that_may_be_meant_are_named_where_one_was_chosen_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cells/{number}.jpg" for number in range(8)))
    rows = [
        f"cells\\{row}.jpg;{row // 2};{('Healthy', 'ALL')[row // 4]};{('lymphocyte', 'lymphoblast')[row // 6]};"
        f"{('development', 'external')[row % 2]}"
        for row in range(8)
    ]
    write_lines(tmp_path / "registry export.csv", "Image;MRN;Diagnosis;Cell type;Cohort", *rows)
    source = typed(tmp_path)
    named = "columns that may have labels, too, and are not read: Cell type: lymphoblast (2), lymphocyte (6)"
    assert named in source.named_notes
    split = next(note for note in source.named_notes if note.startswith("the column Cohort may be a split"))
    assert "development (4), external (4)" in split
    assert split.endswith("give --split-column Cohort")
    chosen = typed(tmp_path, options="--label-column 'cell type' --classes normal=lymphocyte leukemic=lymphoblast")
    assert sum(row.label or 0 for row in chosen.rows) == 2
    assert not any(note.startswith("columns that may have labels") for note in chosen.named_notes)
    corrected = [row.replace("development", "train").replace("external", "test") for row in rows]
    write_lines(tmp_path / "registry export.csv", "Image;MRN;Diagnosis;Cell type;Cohort", *corrected)
    assert len(typed(tmp_path, options="--split-column Cohort").rows) == 4


def test_a_column_of_hospitals_is_no_candidate_for_labels(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.png" for number in range(8)))
    rows = [f"{number}.png,{number % 2},{('Pune', 'Delhi')[number // 4]}" for number in range(8)]
    notes = typed(write_lines(tmp_path / "cells.csv", "file,label,Hospital", *rows)).named_notes
    assert [note[:38] for note in notes] == ["the column Hospital may be a split, an"]


def test_the_bookkeeping_of_label_studio_has_no_labels(tmp_path: Path) -> None:
    """Its annotators and days have as few words as classes have."""
    touch(tmp_path, *(f"{n}.png" for n in range(12)))
    rows = [
        f"{n}.png,{n + 40},{('blast', 'lymph')[n % 2]},{n % 3},{n + 90},2024-01-0{n % 2 + 1},{n % 4},{'xy'[n % 2]}"
        for n in range(12)
    ]
    header = "image,id,choice,annotator,annotation_id,created_at,lead_time,completed_by"
    path = write_lines(tmp_path / "export.csv", header, *rows)
    with pytest.raises(UserError) as caught:
        typed(path)
    assert "--label-column choice " in str(caught.value)
    assert not any(f"\n  {name}: " in str(caught.value) for name in header.split(",") if name != "choice")
    source = typed(path, options="--label-column choice --classes normal=lymph leukemic=blast")
    assert not any("may have labels" in note or "annotator" in note for note in source.named_notes)
    assert source.left_columns == ()


@pytest.mark.parametrize("names", [("a_pilot.csv", "b_all.csv"), ("z_pilot.csv", "b_all.csv")])
def test_of_several_tables_that_of_most_images_is_the_example(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path / "data", *(f"images/{n}.png" for n in range(12)))
    for name, number in zip(names, (4, 12), strict=True):
        kinds = ("finding", "consensus")[number == 12]
        rows = [f"{n}.png,{('blast', 'lymph')[n % 2]}" for n in range(number)]
        write_lines(tmp_path / "data" / "tables" / name, f"image,{kinds}", *rows)
    with pytest.raises(UserError) as caught:
        typed(tmp_path / "data")
    message = str(caught.value)
    assert "--label-column consensus " in message
    assert "finding" not in message.partition("the folder also has")[0]
    line = next(line for line in message.splitlines() if line.startswith("  for this CSV, give its path: "))
    options = "--label-column consensus --classes normal=lymph leukemic=blast"
    path, _, base = line.partition("path: ")[2].split()
    assert len(typed(Path(path), options=f"--base {base} {options}").rows) == 12


def test_of_several_tables_with_labels_that_of_most_images_is_named_first(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{n}.png" for n in range(12)))
    for name, number in (("a/pilot.csv", 4), ("b/all.csv", 12)):
        rows = [f"images/{n}.png,{n % 2},{n}" for n in range(number)]
        write_lines(tmp_path / name, f"Path,label,{name[0]}", *rows)
    with pytest.raises(UserError, match=r" b/all\.csv, a/pilot\.csv: give the path of one"):
        typed(tmp_path)


@pytest.mark.parametrize("longest", ["a.csv", "b.csv"])
def test_of_two_tables_of_the_same_images_the_longer_is_the_example(tmp_path: Path, longest: str) -> None:
    touch(tmp_path, *(f"images/{n}.png" for n in range(12)))
    for name in ("a.csv", "b.csv"):
        number = 12 if name == longest else 4
        write_lines(tmp_path / name, "Path,label", *(f"images/{n}.png,{n % 2}" for n in range(number)))
    with pytest.raises(UserError) as caught:
        typed(tmp_path)
    assert str(caught.value).endswith(f"for example, these have none in common: {tmp_path / longest}")


def test_the_consensus_of_raters_is_proposed_first_and_tables_in_capitals_are_no_others(tmp_path: Path) -> None:
    for site, name in (("a", "Cells.CSV"), ("b", "cells.csv")):
        (tmp_path / site).mkdir()
        for number in range(4):
            (tmp_path / site / f"{number}.png").touch()
        rows = "".join(f"{n}.png,{'xy'[n % 2]},{'xyxx'[n]}\n" for n in range(4))
        (tmp_path / site / name).write_text(f"Path,Rater 1,Consensus\n{rows}")
    with pytest.raises(UserError, match="read one with --label-column Consensus") as caught:
        typed(tmp_path, options="")
    assert "the folder also has" not in str(caught.value)
