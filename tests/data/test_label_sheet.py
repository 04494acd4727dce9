"""Data whose labels no option reads: the refusal names a command that lists the images, and the filled list is read."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.second_try import refusal, touch

from leukemia import catalog as command
from leukemia.base.errors import UserError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading


def voc(data: Path) -> Path:
    """VOC's lists of images for each class, beside images without folders of classes."""
    touch(data, *(f"JPEGImages/{number:06d}.jpg" for number in range(6)))
    for word, sign in (("blast", 1), ("lymphocyte", -1)):
        lines = [f"{number:06d} {sign if number % 2 else -sign:2d}" for number in range(6)]
        path = data / "ImageSets" / "Main" / f"{word}_train.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))
    return data


def scanner(data: Path) -> Path:
    """A table that names each image in three columns."""
    rows = [(slide, field, cell) for slide in ("SL-21-0034", "SL-22-0007") for field in (1, 2) for cell in (1, 2)]
    touch(data, *(f"{slide}/field_{field:03d}/cell_{cell:02d}.png" for slide, field, cell in rows))
    lines = ["\t".join(map(str, (*row, "blast" if row[2] == 1 else "normal"))) for row in rows]
    (data / "results.tsv").write_text("\n".join(["slide\tfield\tcell\tclass", *lines]))
    return data


def patients(data: Path) -> Path:
    """Folders of patients, with nothing that says a class."""
    return touch(data, *(f"patient_{patient}/{number}.png" for patient in range(3) for number in range(2)))


def other_ids(data: Path) -> Path:
    """A table with a column of images whose values are called otherwise."""
    touch(data, *(f"cells/IMG_{number}.png" for number in range(4)))
    (data / "list.csv").write_text("Path,label\n" + "".join(f"x{number},{number % 2}\n" for number in range(4)))
    return data


def fill(sheet: Path, label: Callable[[dict[str, str]], object]) -> None:
    """Write a label into each row, as a person does in a spreadsheet."""
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with sheet.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(row | {"label": label(row)} for row in rows)


@pytest.mark.parametrize(
    ("layout", "number", "column", "word", "leukemic"),
    [
        (voc, 6, "name 1", "000003", "000003.jpg"),
        (scanner, 8, "name 2", "01", "cell_01.png"),
        (patients, 6, "folder 1", "patient_1", "patient_1/"),
        (other_ids, 4, "name 2", "1", "IMG_1.png"),
    ],
)
def test_the_sheet_of_a_refusal_is_filled_in_and_read(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    layout: Callable[[Path], Path],
    number: int,
    column: str,
    word: str,
    leukemic: str,
) -> None:
    data = layout(tmp_path / "the data")
    line = next(line for line in refusal(data).splitlines() if "--label-sheet" in line)
    _, python, *arguments = shlex.split(line.partition(": ")[2])
    assert python == "-m"
    assert arguments[:2] == ["leukemia.catalog", str(data)]
    assert command.main(arguments[1:]) == 0
    sheet = tmp_path / "the data_labels.csv"
    assert f"{sheet} ({number} images, 0 of them with a label)" in capsys.readouterr().out
    fill(sheet, lambda row: int(row[column] == word))
    source = find_images(sheet, Reading(), labels=True)
    assert len(source.rows) == number
    assert all(row.label == int(leukemic in str(row.path)) for row in source.rows)
    # Another refusal proposes another file.
    assert "the data_labels_1.csv" in refusal(data)


def test_what_is_known_is_filled_in(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = touch(tmp_path / "data", *(f"{word}/UID_{n}_1_1_{word}.bmp" for n, word in enumerate(("hem", "all"))))
    assert command.main([str(data), "--label-sheet", str(tmp_path / "sheet.csv")]) == 0
    assert f"then python -m leukemia.catalog {tmp_path}/sheet.csv\n" in capsys.readouterr().out
    assert (tmp_path / "sheet.csv").read_text(encoding="utf-8-sig").splitlines() == [
        "Path,label,subject,split,folder 1,name 1,name 2,name 3,name 4,name 5",
        "data/all/UID_1_1_1_all.bmp,1,1,,all,UID,1,1,1,all",
        "data/hem/UID_0_1_1_hem.bmp,0,0,,hem,UID,0,1,1,hem",
    ]


def test_the_sheet_may_stand_anywhere_and_masks_are_not_listed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "my lists"
    elsewhere.mkdir()
    touch(data, *(f"=batch/{n}{end}.png" for n in range(3) for end in ("", "_mask")))
    sheet = elsewhere / "sheet.csv"
    assert command.main([str(data), "--label-sheet", str(sheet)]) == 0
    assert shlex.join([str(sheet), "--base", str(data)]) in capsys.readouterr().out
    assert [
        [line.split(",")[each] for each in (0, 1, 2, 4)]
        for line in sheet.read_text(encoding="utf-8-sig").splitlines()[1:]
    ] == [[f"./=batch/{n}.png", "", "", "./=batch"] for n in range(3)]
    fill(sheet, lambda row: ("healthy", "leukemia", "leukemia")[int(row["name 1"])])
    rows = find_images(sheet, Reading(base=str(data)), labels=True).rows
    assert [row.label for row in rows] == [0, 1, 1]


def test_columns_of_a_csv_that_are_known_are_kept(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}.png" for n in range(4)))
    (tmp_path / "list.csv").write_text("file,subject\n" + "".join(f"{n}.png,S{n // 2}\n" for n in range(3)))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="outside of the images"):
        command.main([str(tmp_path / "list.csv"), "--label-sheet", str(tmp_path / "out" / "sheet.csv")])
    sheet = tmp_path.parent / f"{tmp_path.name}_sheet.csv"
    assert command.main([str(tmp_path / "list.csv"), "--label-sheet", str(sheet)]) == 0
    rows = [line.split(",")[1:3] for line in sheet.read_text(encoding="utf-8-sig").splitlines()[1:]]
    assert rows == [["", "S0"], ["", "S0"], ["", "S1"]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sheet.png", "expected the name of a CSV file, such as sheet.csv"),
        ("there.csv", "exists already; give another name"),
        ("absent/sheet.csv", "no folder at"),
        ("data/sheet.csv", "outside of the images"),
    ],
)
def test_a_sheet_that_cannot_be_written_is_refused_first(tmp_path: Path, name: str, message: str) -> None:
    data = touch(tmp_path / "data", "a.png")
    (tmp_path / "there.csv").touch()
    with pytest.raises(UserError, match=message):
        command.main([str(data), "--label-sheet", str(tmp_path / name)])


def test_a_folder_without_images_has_no_sheet(tmp_path: Path) -> None:
    assert "--label-sheet" not in refusal(touch(tmp_path / "data", "notes.doc"))
    with pytest.raises(UserError, match="no images to list"):
        command.main([str(tmp_path / "data"), "--label-sheet", str(tmp_path / "sheet.csv")])


def test_options_that_need_pixels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        command.main([str(tmp_path), "--label-sheet", "a.csv", "--contact-sheet", "a.png"])
    assert "--label-sheet reads no pixels" in capsys.readouterr().err


def test_names_that_look_like_comments_or_begin_with_a_blank_are_read_back(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "# 1.png", " 2.png", "=3.png", "4.png")
    (tmp_path / "other").mkdir()
    sheet = tmp_path / "other" / "sheet.csv"
    assert command.main([str(data), "--label-sheet", str(sheet)]) == 0
    fill(sheet, lambda row: int("1" in row["Path"]))
    source = find_images(sheet, Reading(base=data), labels=True)
    assert sorted((row.path.name, row.label) for row in source.rows) == [
        (" 2.png", 0),
        ("# 1.png", 1),
        ("4.png", 0),
        ("=3.png", 0),
    ]


def read_sheet(data: Path, sheet: Path) -> list[dict[str, str]]:
    assert command.main([str(data), "--label-sheet", str(sheet)]) == 0
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_known_labels_and_the_split_are_kept_beside_a_word_that_is_not_known(tmp_path: Path) -> None:
    names = [f"{part}/{word}/{n}.png" for part in ("train", "test") for word in ("hem", "all", "odd") for n in range(2)]
    data = touch(tmp_path / "data", *names, "train/hem/0_mask.png")
    assert "odd" in refusal(data)
    rows = read_sheet(data, tmp_path / "sheet.csv")
    known = {"hem": "0", "all": "1", "odd": ""}
    assert {row["Path"]: (row["label"], row["split"]) for row in rows} == {
        f"data/{name}": (known[name.split("/")[1]], name.split("/")[0]) for name in names
    }
    fill(tmp_path / "sheet.csv", lambda row: row["label"] or 1)
    source = find_images(tmp_path / "sheet.csv", Reading(split_column="split"), labels=True)
    assert sorted((row.label, row.split) for row in source.rows) == [(0, "train")] * 2 + [(1, "train")] * 4


def test_known_words_of_a_table_are_kept_and_the_others_shown(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", *(f"{n}.png" for n in range(4)))
    lines = [f"{n}.png,{word},S{n}" for n, word in enumerate(("hem", "ALL", "odd", "odd"))]
    (data / "list.csv").write_text("\n".join(["file,label,subject", *lines]))
    rows = read_sheet(data, tmp_path / "sheet.csv")
    assert [(row["label"], row["word"], row["subject"]) for row in rows] == [
        ("0", "", "S0"),
        ("1", "", "S1"),
        ("", "odd", "S2"),
        ("", "odd", "S3"),
    ]


def test_images_in_folders_of_both_classes_have_no_label(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "cancer/Benign/1.png", "cancer/Malignant/1.png", "healthy/1.png", "odd/1.png")
    assert [row["label"] for row in read_sheet(data, tmp_path / "sheet.csv")] == ["", "1", "0", ""]


def test_a_sheet_that_contradicts_the_folders_is_named(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", *(f"{word}/{n}.png" for word in ("hem", "all", "odd") for n in range(3)))
    sheet = tmp_path / "sheet.csv"
    read_sheet(data, sheet)
    fill(
        sheet, lambda row: int(row["Path"] in ("data/hem/1.png", "data/all/0.png", "data/all/1.png", "data/odd/1.png"))
    )
    message = refusal(sheet)
    assert "2 images have another label than the folder says" in message
    assert "\n  row 4: 0 in all/\n  row 6: 1 in hem/\n" in message
    assert "add --label-column label" in message
    assert len(find_images(sheet, Reading(label_column="label"), labels=True).rows) == 9


def test_a_sheet_has_patients_and_words_of_a_table_that_is_refused(tmp_path: Path) -> None:
    """A row's file is missing, and no column has known words."""
    data = touch(tmp_path / "data", *(f"{n}.png" for n in range(4)))
    lines = [f"{n}.png,P{n // 2},{('krank', 'gesund')[n % 2]},{('train', 'test')[n // 2 % 2]}" for n in range(5)]
    (data / "list.csv").write_text("\n".join(["file,patient,Befund,K\u00fcme", *lines]), encoding="utf-8")
    rows = read_sheet(data, tmp_path / "sheet.csv")
    assert [(row["Path"], row["subject"], row["word"], row["split"]) for row in rows] == [
        (f"data/{n}.png", f"P{n // 2}", ("krank", "gesund")[n % 2], ("train", "test")[n // 2]) for n in range(4)
    ]


def test_the_columns_to_sort_a_sheet_by_are_not_reported_as_labels(tmp_path: Path) -> None:
    for number in range(8):
        image = tmp_path / f"data/{'xy'[number % 2]}/c_{number % 4}_{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    sheet = LabelSheet(
        path=tmp_path / "sheet.csv", data=tmp_path / "data", reading=Reading(classes=("normal=x", "leukemic=y"))
    )
    assert sheet.write() == (8, 8)
    source = find_images(tmp_path / "sheet.csv", Reading(), labels=True)
    assert len(source.rows) == 8
    assert not any("that may have labels" in note for note in source.named_notes)


@pytest.mark.parametrize("name", ["notes.txt", "README.md", "classes.txt", "images_labels.json"])
def test_texts_beside_a_sheet_do_not_name_its_numbers(tmp_path: Path, name: str) -> None:
    """What lies beside it may be about other data."""
    data, sheet = touch(tmp_path / "images", *(f"{n}.png" for n in range(4))), tmp_path / "images_labels.csv"
    assert command.main([str(data), "--label-sheet", str(sheet)]) == 0
    fill(sheet, lambda row: int(row["name 1"]) % 2)
    (tmp_path / name).write_text('{"0": "blast", "1": "normal"}' if name.endswith("json") else "0: blast\n1: normal\n")
    source = find_images(sheet, Reading(), labels=True)
    assert [row.label for row in source.rows] == [0, 1, 0, 1]
    assert not any("blast" in note for note in source.notes)


def test_the_legend_of_a_sheet_has_its_name_and_nothing_else(tmp_path: Path) -> None:
    data, sheet = touch(tmp_path / "images", *(f"{n}.png" for n in range(4))), tmp_path / "sheet.csv"
    assert command.main([str(data), "--label-sheet", str(sheet)]) == 0
    fill(sheet, lambda row: int(row["name 1"]) % 2)
    legend = tmp_path / "sheet.txt"
    legend.write_text("0: blast\n1: normal\n")
    with pytest.raises(
        UserError, match=r"and 1 for leukemic; by sheet\.txt, 0 is blast, 1 is normal; give the classes"
    ):
        find_images(sheet, Reading(), labels=True)
    legend.write_text("0: blast\n1: normal\nThese are my notes.\n")
    assert [row.label for row in find_images(sheet, Reading(), labels=True).rows] == [0, 1, 0, 1]
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("2.png;0;", "2.png;2;"), encoding="utf-8")
    legend.write_text("0: normal\n1: blast\n2: debris\n")
    with pytest.raises(UserError, match=r"with --classes; by sheet\.txt, 0 is normal, 1 is blast, 2 is debris:"):
        find_images(sheet, Reading(), labels=True)


def test_thumbnails_are_left_out_and_a_single_number_is_no_label(tmp_path: Path) -> None:
    """As in a project of QuPath, which numbers the folders of its slides."""
    names = [f"crops/S{n % 2}_{n}.png" for n in range(8)] + [
        f"data/{n}/{kind}.jpg" for n in (1, 2) for kind in ("thumbnail", "field")
    ]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    sheet = LabelSheet(path=tmp_path / "out.csv", data=tmp_path / "in", reading=Reading())
    assert sheet.write() == (10, 0)
    assert "thumbnail" not in (tmp_path / "out.csv").read_text(encoding="utf-8-sig")
