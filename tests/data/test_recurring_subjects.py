"""Subjects that a pattern finds in several folders: one person or several."""

from __future__ import annotations

import shlex
from itertools import product
from pathlib import Path

import pytest
from helpers.layouts import draw_images, write_csv
from helpers.second_try import refusal

from leukemia.catalog import main
from leukemia.data.catalog import read_catalog
from leukemia.data.reading import Reading
from leukemia.data.recurring_subjects import recurring_subjects
from leukemia.data.subjects import NotApplicable, read_subjects

CENTRES, CLASSES, PATIENTS, IMAGES = ("centre_a", "centre_b"), ("hem", "all"), ("p01", "p02"), ("1.png", "2.png")


def notes(image_ids: list[str], pattern: str) -> tuple[str, ...]:
    reading = Reading(subject_pattern=pattern)
    return recurring_subjects(image_ids, read_subjects(image_ids, [None] * len(image_ids), reading).names, reading)


def typed(note: str) -> str:
    return shlex.split(note.partition("--subject-pattern ")[2])[0]


def paths(*levels: tuple[str, ...]) -> list[str]:
    return ["/".join(names) for names in product(*levels)]


@pytest.mark.parametrize(
    ("image_ids", "pattern", "number", "others"),
    [
        (paths(CENTRES, PATIENTS, IMAGES), r"(p\d+)", 2, 4),
        (paths(CENTRES, PATIENTS, IMAGES), r"p(\d+)", 2, 4),
        (paths(CENTRES, ("hem",), PATIENTS, IMAGES), r"/(p\d+)/", 2, 4),
        (paths(("hem",), CENTRES, PATIENTS, IMAGES), r"p(\d+)", 2, 4),
        (paths(CENTRES, ("p01_1.png", "p01_2.png", "p02_1.png")), r"(p\d+)_", 2, 4),
        ([*paths(CENTRES, ("all",), ("p01", "p03"), IMAGES), "centre_a/hem/p02/1.png"], r"(p\d+)", 2, 5),
    ],
)
def test_the_pattern_that_is_named_keeps_them_apart(
    image_ids: list[str], pattern: str, number: int, others: int
) -> None:
    (note,) = notes(image_ids, pattern)
    assert note.startswith(f"{number} of {len(set(read(image_ids, pattern)))} subjects are in several folders (")
    second = typed(note)
    assert len(set(read(image_ids, second))) == others
    assert notes(image_ids, second) == ()


def read(image_ids: list[str], pattern: str) -> list[str]:
    names = read_subjects(image_ids, [None] * len(image_ids), Reading(subject_pattern=pattern)).names
    return list(names or ())


def test_no_pattern_is_named_that_would_tear_a_patient_apart() -> None:
    """The class folder lies between the hospital and the patient, who has cells of both classes."""
    (note,) = notes(paths(CENTRES, CLASSES, PATIENTS, IMAGES), r"(p\d+)")
    assert "2 of 2 subjects are in several folders (p01 in centre_a/ and centre_b/)" in note
    assert note.endswith("write a pattern whose group has the folder, or give a CSV with a column of subjects")
    assert notes(paths(CLASSES, PATIENTS, IMAGES), r"(p\d+)") == ()


def test_parts_of_a_split_and_subjects_in_one_folder_need_no_note() -> None:
    assert notes(paths(("train", "val"), ("hem",), PATIENTS, IMAGES), r"(p\d+)") == ()
    assert notes(paths(CENTRES, PATIENTS, IMAGES), r"(centre_./p\d+)") == ()
    assert recurring_subjects(["a/1.png"], None, Reading(subject_pattern="")) == ()


def test_the_command_says_it_and_the_second_try_keeps_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    for seed, (centre, (word, patient)) in enumerate(product(CENTRES, (("hem", "p1"), ("all", "p2")))):
        draw_images(data / centre / word / patient, 2, seed=seed)
    assert main([str(data), "--subject-pattern", r"(p\d+)"]) == 0
    output = capsys.readouterr().out
    assert "subjects:    2 (1 hem, 1 all)" in output
    (note,) = [line for line in output.splitlines() if "in several folders" in line]
    assert main([str(data), "--subject-pattern", typed(note)]) == 0
    output = capsys.readouterr().out
    assert "subjects:    4 (2 hem, 2 all)" in output
    assert "in several folders" not in output


@pytest.mark.parametrize(("folders", "are_said"), [(("site_a", "site_b"), True), (("train", "test"), False)])
def test_equal_subjects_in_the_column_of_several_lists_are_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folders: tuple[str, ...],
    *,
    are_said: bool,
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    for seed, folder in enumerate(folders):
        write_csv(data / folder / "cells.csv", 4, seed=seed, pid=[1, 2, 1, seed + 3])
    lists = [str(data / folder / "cells.csv") for folder in folders]
    for given in ([str(data)], lists):
        assert main([*given, "--subject-column", "pid"]) == 0
        output = capsys.readouterr().out
        assert "subjects:    4 (" in output
        said = "2 of 4 subjects are in several CSVs (1 in site_a/cells.csv and site_b/cells.csv), and each"
        assert (said in output) == are_said
        assert ("in several CSVs" in output) == are_said
    (data / "all.csv").write_text("Path,label,pid\n" + "".join(_below(Path(each), data) for each in lists))
    assert main([str(data / "all.csv"), "--subject-column", "pid"]) == 0
    assert "in several CSVs" not in capsys.readouterr().out


def _below(path: Path, data: Path) -> str:
    """The rows of a list, with paths below the data."""
    rows = path.read_text().splitlines()[1:]
    return "".join(f"{path.parent.relative_to(data).as_posix()}/{row}\n" for row in rows)


def test_subjects_of_several_sites_are_kept_apart_by_their_csvs(tmp_path: Path) -> None:
    for seed, (site, part) in enumerate(product(CENTRES, ("train", "val"))):
        write_csv(tmp_path / site / f"{part}.csv", 4, seed=seed, pid=[1, 2, 1, 2] if part == "train" else [3, 3, 3, 3])
    lists = sorted(tmp_path.glob("*/*.csv"))
    message = refusal(tmp_path)
    expected = "pid has the same values in CSVs of several folders, and --subject-column pid joins them; if they are"
    assert f"{expected} different patients, add --subject-scope site" in message
    assert "--label-sheet" in message
    scoped = Reading(subject_column="pid", subject_scope="site", also=tuple(map(str, lists[1:])))
    catalog = read_catalog(lists[0], scoped)
    assert sorted(set(catalog.table["subject"])) == [f"{site}/{pid}" for site in CENTRES for pid in (1, 2, 3)]
    assert not any("several CSVs" in note for note in catalog.subject_notes)
    with pytest.raises(NotApplicable, match=r"in CSVs of several sites, .* found train\.csv; "):
        read_catalog(lists[0], Reading(subject_column="pid", subject_scope="site"))
