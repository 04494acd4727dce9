"""Where subjects are read from, which spellings are one subject, and what is said about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.catalog import main
from leukemia.config.presets import seed as recipe
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.description import describe
from leukemia.data.folds import make_splits
from leukemia.data.reading import DEFAULT, Reading
from leukemia.data.subject_words import looks_like_subjects
from leukemia.data.subjects import UNKNOWN, cnmc_subject, key
from leukemia.delivery.evaluation import read_test_set
from leukemia.delivery.overlap import find_overlap
from leukemia.delivery.seen import Seen

EXACT = Reading(subject_spelling="exact")


def draw(path: Path, number: int) -> Path:
    """A small image whose pixels depend only on the number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def listing(folder: Path, subjects: list[str], *, column: str = "subject", first: int = 0) -> Path:
    """A CSV of images, one per subject, alternately normal and leukemic."""
    lines = [f"Path,label,{column}"]
    for number, subject in enumerate(subjects, start=first):
        draw(folder / f"{number:02}.png", number)
        lines.append(f'{number:02}.png,{number % 2},"{subject}"')
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def subjects_of(catalog: Catalog) -> list[str]:
    return catalog.table["subject"].tolist()


def remarks_of(catalog: Catalog) -> list[str]:
    """All but the one on the folders of C-NMC, which is not about subjects."""
    return [remark for remark in catalog.remarks if "a split, in the folders" not in remark]


def test_spellings_of_a_subject_are_joined_and_reported(tmp_path: Path) -> None:
    path = listing(tmp_path, ["h3", "H3", " H3 ", "1", "1.0", "01", "Mu\u0308ller", "M\u00fcller", "P  7", "p 7"])
    catalog = read_catalog(path)
    assert subjects_of(catalog) == ["H3"] * 3 + ["1"] * 3 + ["M\u00fcller"] * 2 + ["p 7"] * 2
    assert catalog.table["group"].nunique() == 4
    note, _ = catalog.remarks
    assert note.startswith("4 subjects have several spellings, which are taken for one: 1 = 01 = 1.0, H3 = h3, ")
    assert note.endswith("--subject-spelling exact keeps them apart")


def test_exact_spelling_keeps_subjects_apart(tmp_path: Path) -> None:
    written = ["h3", "H3", "1", "1.0", "nan", "NA"]
    catalog = read_catalog(listing(tmp_path, written), EXACT)
    assert subjects_of(catalog) == written
    assert catalog.remarks == ("classes (images): normal = 0 (3); leukemic = 1 (3)",)


def test_subjects_that_are_not_spelled_otherwise_keep_their_text(tmp_path: Path) -> None:
    written = ["p01", "P02", "03", "4.0", "\u00c4", "p01"]
    catalog = read_catalog(listing(tmp_path, written))
    assert subjects_of(catalog) == written
    assert catalog.remarks == ("classes (images): normal = 0 (3); leukemic = 1 (3)",)
    assert catalog.fingerprint == read_catalog(tmp_path / "list.csv", EXACT).fingerprint


@pytest.mark.parametrize("different", [("1", "10"), ("P01", "P1"), ("1.5", "1.50"), ("0", "00x"), ("h3", "h03")])
def test_other_differences_are_other_subjects(different: tuple[str, str]) -> None:
    assert key(different[0]) != key(different[1])


def test_words_for_no_subject_form_one_group(tmp_path: Path) -> None:
    words = ["nan", "None", "NA", "unknown", "", " - ", "?", "N/A", "<NA>"]
    catalog = read_catalog(listing(tmp_path, ["a", "b", "c", *words]))
    assert subjects_of(catalog) == ["a", "b", "c", *[UNKNOWN] * len(words)]
    assert catalog.table["group"].nunique() == 4
    assert catalog.has_subjects
    assert not catalog.has_all_subjects
    note, _ = catalog.remarks
    assert note.startswith("9 of 12 images have no subject ('<NA>', '?', 'N/A', -, NA, None, nan, unknown): 03.png, ")
    assert "stay together as one group, 'unknown', which is not compared with other data" in note
    assert "\nsubjects:    3 (" in describe(catalog, tmp_path / "list.csv")
    for training, validation in make_splits(catalog, 2, 0, "grouped").rows(catalog):
        sides = [UNKNOWN in catalog.table["subject"][rows].tolist() for rows in (training, validation)]
        assert sorted(sides) == [False, True]


def test_images_without_a_subject_join_the_subject_that_they_share_pixels_with(tmp_path: Path) -> None:
    path = listing(tmp_path, ["a", "b", "", "d"])
    draw(tmp_path / "02.png", 0)
    assert read_catalog(path).table["group"].tolist() == ["a+unknown", "b", "a+unknown", "d"]


def test_a_column_without_any_subject_gives_none(tmp_path: Path) -> None:
    path = listing(tmp_path, ["nan", "", "None", "-"])
    catalog = read_catalog(path)
    assert not catalog.has_subjects
    assert catalog.remarks[0].startswith("subjects are unknown, ")
    with pytest.raises(UserError, match=r"^--subject-column subject: expected subjects, but no row has one \(-, "):
        read_catalog(path, Reading(subject_column="subject"))


def test_test_subjects_are_compared_in_their_normal_form(tmp_path: Path) -> None:
    training = read_catalog(listing(tmp_path / "training", ["S00", "S01", "2", "unknown"]))
    path = listing(tmp_path / "test", ["s00", "S09", "02", "NA"], first=50)
    test = read_test_set(path, DEFAULT, recipe())
    with pytest.raises(UserError, match=r"0 images and 2 subjects .*:\n  subject 02 \(2 in .*\n  subject s00 \(S00 in"):
        find_overlap(Seen.of(training), test, allowed=False)
    assert find_overlap(Seen.of(training), test, allowed=True) == ("2 subjects",)
    # The group without subjects is not a subject.
    exact = read_catalog(tmp_path / "training/list.csv", EXACT)
    assert find_overlap(Seen.of(exact), read_test_set(path, EXACT, recipe()), allowed=False) == ()


@pytest.mark.parametrize("column", ["patient_id", "Patient ID", "case", "Subject ID", "PatientNo"])
def test_a_column_that_looks_like_subjects_is_named_and_can_be_read(tmp_path: Path, column: str) -> None:
    path = listing(tmp_path, ["a", "b", "a", "b"], column=column)
    catalog = read_catalog(path)
    assert not catalog.has_subjects
    argument = f"'{column}'" if " " in column else column
    assert f"--subject-column {argument} reads the column {column}, --subjects-from" in catalog.remarks[0]
    assert subjects_of(read_catalog(path, Reading(subject_column=column.upper()))) == ["a", "b", "a", "b"]


def test_another_column_beside_the_one_that_is_read_is_named(tmp_path: Path) -> None:
    path = listing(tmp_path, ['x","a', 'x","b', 'x","a', 'x","b'], column="Case,subject")
    assert subjects_of(read_catalog(path)) == ["a", "b", "a", "b"]
    assert read_catalog(path).remarks == (
        "the column Case looks like subjects, but is not read; --subject-column Case reads it",
        "classes (images): normal = 0 (2); leukemic = 1 (2)",
    )
    assert not looks_like_subjects("patient_age")


def test_a_subject_column_that_cannot_be_read(tmp_path: Path) -> None:
    path = listing(tmp_path, ["a", "b"])
    with pytest.raises(UserError, match=r"--subject-column who: expected one of the columns Path, label, subject$"):
        read_catalog(path, Reading(subject_column="who"))
    draw(tmp_path / "folders/hem/a.png", 1)
    draw(tmp_path / "folders/all/b.png", 2)
    with pytest.raises(UserError, match=r"--subject-column who has no effect with .*folders, which is a folder, not"):
        read_catalog(tmp_path / "folders", Reading(subject_column="who"))


def test_a_pattern_finds_subjects_in_paths_or_in_a_column(tmp_path: Path) -> None:
    for number, name in enumerate(["hem/pat1-a", "hem/pat01-b", "all/pat2-a", "all/other"]):
        draw(tmp_path / "cells" / f"{name}.png", number)
    catalog = read_catalog(tmp_path / "cells", Reading(subject_pattern=r"pat(\d+)-"))
    assert subjects_of(catalog) == [UNKNOWN, "2", "1", "1"]
    assert [note.split(":")[0] for note in catalog.remarks] == [
        "1 subject has several spellings, which are taken for one",
        "1 of 4 images has no subject",
        "classes (images)",
    ]
    path = listing(tmp_path / "set", ["x-1-a", "x-1-b", "x-2-a", "x-2-b"], column="slide")
    reading = Reading(subject_column="slide", subject_pattern=r"^x-(\d+)")
    assert subjects_of(read_catalog(path, reading)) == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"--subject-pattern \(: expected a regular expression \(.*\); correct it"),
        (r"\d+", r"--subject-pattern \\d\+: expected one group, the subject, got 0; write it in parentheses"),
        ("(a)(b)", r"expected one group, the subject, got 2"),
        ("never(x)", r"--subject-pattern never\(x\): none of the 2 texts matches, such as 00.png"),
    ],
)
def test_a_pattern_that_cannot_be_used(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_catalog(listing(tmp_path, ["a", "b"]), Reading(subject_pattern=pattern))


def test_an_empty_pattern_reads_no_subjects(tmp_path: Path) -> None:
    assert not read_catalog(listing(tmp_path, ["a", "b"]), Reading(subject_pattern="")).has_subjects


NAMES = {
    "fold_0/all/UID_1_1_1_all.bmp": "1",
    "fold_0/hem/UID_h3_1_1_hem.bmp": "H3",
    "fold_1/all/aug_0_UID_2_1_1_all.bmp": "2",
    "fold_1/hem/UID_H4_1_1_hem (1).bmp": "H4",
    "fold_2/all/UID_2_1_2_all_rotated.bmp": "2",
    "fold_2/hem/UID_H4_1_1_hem - Copy.bmp": "H4",
}
"""Images of C-NMC as people copy and augment them."""


def draw_tree(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        draw(folder / name, number)
    return folder


def test_subjects_are_read_wherever_they_stand_in_cnmc_names(tmp_path: Path) -> None:
    catalog = read_catalog(draw_tree(tmp_path, list(NAMES)))
    assert dict(zip(catalog.table["image_id"], subjects_of(catalog), strict=True)) == NAMES
    assert remarks_of(catalog) == []
    assert cnmc_subject("FLUID_7_1_all.bmp") is None
    assert cnmc_subject("all/UID_7_1_1_all/patch.png") == "7"


@pytest.mark.parametrize("flat", [False, True])
def test_one_odd_name_does_not_lose_the_other_subjects(tmp_path: Path, flat: bool) -> None:
    odd = {"fold_0/all/cell copy.bmp": UNKNOWN, **NAMES}
    expected = {name.partition("/")[2] if flat else name: subject for name, subject in odd.items()}
    catalog = read_catalog(draw_tree(tmp_path, list(expected)))
    assert catalog.layout == "cnmc"
    assert dict(zip(catalog.table["image_id"], subjects_of(catalog), strict=True)) == expected
    (note,) = remarks_of(catalog)
    assert note.startswith(f"1 of 7 images has no subject: {next(iter(expected))}; they stay together")


def test_the_class_in_the_name_of_a_copy_is_compared_with_its_folder(tmp_path: Path) -> None:
    draw_tree(tmp_path, [*NAMES, "fold_0/all/aug_1_UID_H8_1_1_hem (2).bmp"])
    with pytest.raises(UserError, match=r"the class in the name differs .*\n  fold_0/all/aug_1_UID_H8_1_1_hem \(2\)"):
        read_catalog(tmp_path)


def test_subjects_of_cnmc_names_in_a_csv_or_in_other_folders(tmp_path: Path) -> None:
    names = [name.rpartition("/")[2] for name in NAMES]
    draw_tree(tmp_path / "set", names)
    rows = [f"{name},{int('_all' in name)}" for name in names]
    (tmp_path / "set" / "list.csv").write_text("\n".join(["Path,label", *rows]))
    draw_tree(tmp_path / "cells", [f"{'leukemic' if '_all' in name else 'normal'}/{name}" for name in names])
    for data in (tmp_path / "set" / "list.csv", tmp_path / "cells"):
        catalog = read_catalog(data)
        assert sorted(subjects_of(catalog)) == sorted(NAMES.values())
        assert catalog.subject_notes == (
            "subjects are read from the names, as C-NMC's UID_SUBJECT_...; --subject-pattern reads others",
        )


def test_a_label_that_differs_from_the_class_in_a_cnmc_name_is_a_warning(tmp_path: Path) -> None:
    names = [name.rpartition("/")[2] for name in NAMES]
    draw_tree(tmp_path / "set", [*names, "UID_H7_1_1_HEM.BMP", "small_all.bmp"])
    rows = [f"{name},{int('_all' in name)}" for name in names[1:]]
    path = tmp_path / "set" / "list.csv"
    path.write_text("\n".join(["Path,label", f"{names[0]},0", "UID_H7_1_1_HEM.BMP,1", "small_all.bmp,0", *rows]))
    folders = draw_tree(
        tmp_path / "cells", [*(f"{'0' if '_all' in name else '1'}/{name}" for name in names), "1/other_hem.bmp"]
    )
    for data, counts in ((path, "2 of 8"), (folders, "6 of 7")):
        catalog = read_catalog(data)
        (note,) = [note for note in catalog.notes if note.startswith("warning: ")]
        assert note.startswith(f"warning: {counts} images have another class in their C-NMC name (UID_..._hem, ")
        assert "which counts; check the labels (0 hem, 1 all)" in note
    assert catalog.table["label"].tolist() == [int(name.startswith("1/")) for name in catalog.table["image_id"]]
    path.write_text("\n".join(["Path", *names]))
    assert not [note for note in read_catalog(path, labels=False).notes if "warning" in note]


def test_a_column_of_cnmc_names_gives_their_subjects(tmp_path: Path) -> None:
    names = ["UID_5_1_1_all.bmp", "UID_H1_1_1_hem.bmp", "UID_5_2_1_all.bmp", "UID_H1_1_2_hem.bmp"]
    path = listing(tmp_path, names, column="Patient_ID")
    assert subjects_of(read_catalog(path, Reading(subject_column="Patient_ID"))) == ["5", "H1", "5", "H1"]


def test_few_cnmc_names_among_others_are_not_read(tmp_path: Path) -> None:
    draw_tree(tmp_path, ["normal/a.png", "normal/b.png", "leukemic/UID_5_1_1_all.png"])
    assert not read_catalog(tmp_path).has_subjects


def test_folders_unpacked_into_themselves_are_one_copy(tmp_path: Path) -> None:
    names = [f"{name[:6]}/{name[:6]}{name[6:]}" for name in NAMES if not name.startswith("fold_2")]
    names += ["fold_2/all/all/UID_2_1_2_all.bmp", "fold_2/hem/UID_H4_1_1_hem.bmp"]
    catalog = read_catalog(draw_tree(tmp_path, names))
    assert (catalog.layout, catalog.root) == ("cnmc", tmp_path)
    assert set(catalog.table["image_id"]) == set(names)
    assert set(subjects_of(catalog)) == set(NAMES.values())


def test_a_part_of_the_folds_of_cnmc_is_said(tmp_path: Path) -> None:
    draw_tree(tmp_path / "set", list(NAMES))
    for part in ("set/fold_1", "part"):
        draw_tree(tmp_path / "part", [name for name in NAMES if name.startswith("fold_1")])
        assert read_catalog(tmp_path / part).remarks == (
            "only fold_1 of C-NMC's folders; without fold_0, fold_2, subjects are missing",
        )
    draw_tree(tmp_path / "five", [*NAMES, "fold_3/all/UID_9_1_1_all.bmp"])
    assert remarks_of(read_catalog(tmp_path / "five")) == []


def test_options_on_subjects_apply_to_the_reference_copy(tmp_path: Path) -> None:
    reference = listing(tmp_path / "reference", ["a", "A", "b", "b"], column="Patient ID")
    for number in range(4):
        draw(tmp_path / "copy" / ("all" if number % 2 else "hem") / f"x{number}.png", number)
    catalog = read_catalog(tmp_path / "copy", Reading(subjects_from=str(reference), subject_column="Patient ID"))
    assert subjects_of(catalog) == ["A", "b", "A", "b"]
    joined, classes, whose = catalog.remarks
    assert classes == "classes (images): normal = hem (2); leukemic = all (2)"
    assert whose.startswith(f"subjects and groups are those of {reference}: ")
    assert joined.startswith("--subjects-from: 1 subject has several spellings, which are taken for one: A = a; ")


def test_the_labels_of_the_reference_copy_do_not_matter(tmp_path: Path) -> None:
    words = ["Benign", "Early", "Benign", "Other"]
    rows = [f"x{number}.png,{word}" for number, word in enumerate(words)]
    for number in range(4):
        draw(tmp_path / "data" / f"x{number}.png", number)
        draw(tmp_path / "copy" / "slides" / "day 1" / f"UID_{number % 2}_{number}_1_.png", number)
    (tmp_path / "data/list.csv").write_text("\n".join(["Path,label", *rows]) + "\n")
    reference = listing(tmp_path / "reference", ["a", "b", "a", "b"])
    reference.write_text(reference.read_text().replace(",0,", ",strange,").replace(",1,", ",words,"))
    assert "strange" in reference.read_text()
    classes = ("normal=Benign", "leukemic=Early", "ignore=Other")
    for copy, subjects in ((reference, ["a", "b", "a"]), (tmp_path / "copy", ["0", "1", "0"])):
        catalog = read_catalog(tmp_path / "data/list.csv", Reading(subjects_from=str(copy), classes=classes))
        assert subjects_of(catalog) == subjects
        assert catalog.table["label"].tolist() == [0, 1, 0]


def test_a_test_set_that_an_option_does_not_apply_to_is_read_without_it(tmp_path: Path) -> None:
    folder = draw_tree(tmp_path, list(NAMES))
    test = read_test_set(folder, Reading(subject_column="Patient ID"), recipe())
    assert set(subjects_of(test)) == set(NAMES.values())
    (note,) = test.remarks
    assert note.startswith("read without this option: --subject-column Patient ID has no effect with")


def test_what_is_kept_of_an_option_that_does_not_apply_names_no_image(tmp_path: Path) -> None:
    """``notes`` are kept in records that W&B gets, and the message shows a text that the pattern does not match."""
    test = read_test_set(draw_tree(tmp_path, list(NAMES)), Reading(subject_pattern="patient(x)"), recipe())
    (note,) = test.remarks
    assert "none of the" in note
    assert test.notes == ()


def test_the_first_line_of_the_report_says_that_subjects_are_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = listing(tmp_path, ["a", "b", "a", "b"], column="Patient ID")
    assert main([str(path)]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "warning:     subjects are unknown, so images of one patient may be on both sides of a split"
    )
    assert "--subject-column 'Patient ID' reads the column Patient ID" in first
    assert "--subjects-from looks them up in a copy with subjects (for renumbered images of C-NMC)" in first
    assert not any("--subject" in line for line in others)
    assert main([str(path), "--subject-column", "Patient ID"]) == 0
    assert "\nsubjects:    2 (1 normal, 1 leukemic)\n" in capsys.readouterr().out
