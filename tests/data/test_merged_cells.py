"""Tables as spreadsheets save them: merged cells, several columns of images, and a list of labels filled in."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.second_try import refusal, touch, write

from leukemia.base.errors import UserError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading

CLASSES = ("normal=ok", "leukemic=ALL")


def blocks(folder: Path, words: list[str]) -> Path:
    """A table with a title, whose word is in the first row of each block of three only."""
    rows = [f"{n}.png,{words[n // 3] if n % 3 == 0 else ''},x" for n in range(3 * len(words))]
    touch(folder, *(f"{n}.png" for n in range(len(rows))))
    return write(folder, {"list.csv": "\n".join(["List,,", "file,Befund,more", *rows])})


def test_merged_cells_are_named_before_rows_are_left_out(tmp_path: Path) -> None:
    expected = "8 of 12 cells of the column Befund are empty, each below a filled one: merged cells? Fill them down"
    message = refusal(blocks(tmp_path, ["ok", "ALL", "ALL", "ok"]))
    assert expected in message
    assert "ignore=" not in message
    with pytest.raises(UserError, match="merged cells"):
        find_images(tmp_path, Reading(label_column="Befund", classes=CLASSES), labels=True)
    write(
        tmp_path, {"list.csv": "file,Befund\n" + "".join(f"{n}.png,{['ok', 'ALL', ''][n // 4]}\n" for n in range(12))}
    )
    assert "merged cells" not in refusal(tmp_path)


def test_one_line_has_a_title_and_the_words_of_a_label_sheet_are_no_labels(tmp_path: Path) -> None:
    data = blocks(tmp_path / "in", ["ok", "ALL", "ALL", "ok"])
    reading = Reading(label_column="Befund", classes=(*CLASSES, "ignore=no-label"))
    notes = find_images(data, reading, labels=True).notes
    assert "1 line above the header of the CSV has one value each, and is not read" in notes
    sheet = LabelSheet(path=tmp_path / "out.csv", data=data, reading=Reading(label_column="Befund"))
    sheet.write()
    text = sheet.path.read_text(encoding="utf-8-sig")
    assert ",word," in text.splitlines()[0]
    filled = [line.split(",") for line in text.splitlines()]
    for number, line in enumerate(filled[1:]):
        line[1] = str(number % 2)
    sheet.path.write_text("\n".join(map(",".join, filled)))
    source = find_images(sheet.path, Reading(base=str(data)), labels=True)
    assert len(source.rows) == 12
    assert not any("word" in note for note in source.named_notes)


def test_the_table_with_images_is_named_rather_than_the_dictionary(tmp_path: Path) -> None:
    touch(tmp_path, *(f"documents/DSC_{n}.jpg" for n in range(8)))
    rows = [f"{n},{n % 2},DSC_{2 * n}.jpg,DSC_{2 * n + 1}.jpg" for n in range(4)]
    dictionary = "\n".join(["Field,Type,Note", *(f"smear_{n},text,{'much text ' * 20}" for n in range(9))])
    write(tmp_path, {"a_dictionary.csv": dictionary, "data.csv": "\n".join(["record_id,dx,smear_1,smear_2", *rows])})
    assert "data.csv: the columns smear_1, smear_2 have names of images" in refusal(tmp_path)


def test_of_links_that_lead_out_one_is_shown(tmp_path: Path) -> None:
    touch(tmp_path, *(f"blobs/{n}" for n in range(12)), "set/none.txt")
    for n in range(12):
        (tmp_path / "set" / f"{n}.png").symlink_to(f"../blobs/{n}")
    write(tmp_path, {"set/list.csv": "Path,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(12))})
    message = refusal(tmp_path / "set")
    assert "but these are behind 12 links out of it, such as 0.png -> " in message
    assert message.splitlines()[0].count(" -> ") == 1
