"""Every kind of CSV that programs write is read to the same rows, or refused; no row is lost in a value."""

from __future__ import annotations

import codecs
import contextlib
import random
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.layouts.csv_file import read_csv
from leukemia.data.layouts.label_column import read_labels
from leukemia.data.layouts.listing import read_listing
from leukemia.data.reading import DEFAULT


def listing_of(tmp_path: Path, text: str, encoding: str = "utf-8", *, name: str = "list.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_listing(path)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("Path,label\nä.png,0\nb.png,1\n", ()),
        ("Path;label\nä.png;0\nb.png;1\n", ("separated by semicolons",)),
        ("Path\tlabel\r\nä.png\t0\r\nb.png\t1\r\n", ("separated by tabs",)),
        ("Path|label\nä.png|0\nb.png|1\n", ("separated by vertical bars",)),
        ("sep=,\r\nPath,label\r\nä.png,0\r\nb.png,1\r\n", ()),
        ('"sep=;"\nPath;label\nä.png;0\nb.png;1\n', ("separated by semicolons",)),
        (
            '# made by x; y; z\n#\nPath,label\nä.png,0\n# half, done, "so far\nb.png,1\n',
            ("3 lines in the CSV begin with #",),
        ),
        (",Path,label\n0,ä.png,0\n1,b.png,1\n", ()),
        ("Unnamed: 0,Path,label\n0,ä.png,0\n1,b.png,1\n", ()),
        (' Path , "label", \n "ä.png", "0", \n b.png ,1,\n', ()),
        ("Path;label;note, if any\nä.png;0,0;a\nb.png;1,0;x, y\n", ("separated by semicolons",)),
        ("Path,label,note; free\nä.png,0,\nb.png,1.00,\n", ()),
        ("Path,label,note\nä.png,0,one; two; three; four\nb.png,1,\n", ()),
        ("\nPath,label\r\n\r\nä.png,0\r\n , \r\nb.png,1", ()),
        ('note,Path,label\n"two\nlines, or\n\n# more",ä.png,0\n"a ""b""\r\nc",b.png,1\n', ()),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_kinds_of_csv_have_the_same_rows(tmp_path: Path, text: str, notes: tuple[str, ...], encoding: str) -> None:
    listing = listing_of(tmp_path, text, encoding)
    assert listing.column("path") == ["ä.png", "b.png"]
    assert [label for _, label in read_labels(listing, "label", DEFAULT, required=True)] == [0, 1]
    if encoding in ("utf-16", "utf-32"):
        notes = (f"the CSV is in {encoding.upper()}", *notes)
    assert len(listing.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, listing.notes, strict=True))


def test_big_endian_text_is_read_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "list.tsv"
    path.write_bytes(codecs.BOM_UTF16_BE + "Path\tlabel\na.png\t1\n".encode("utf-16-be"))
    assert read_listing(path).notes == ("the CSV is in UTF-16", "the values in the CSV are separated by tabs")


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("Path,label\n\x81.png,0\n", "latin-1", r"expected a CSV in UTF-8 \(.*\); export it again as CSV UTF-8$"),
        ("Path,label\na.png,0\n", "utf-16-le", r"expected a CSV in UTF-8, got bytes of value 0; export it again"),
        ("# only\n", "utf-8", r"the CSV is empty"),
        (
            "Path,label\n1,a.png,0\n2,b.png,1\n",
            "utf-8",
            r"every row has 3 values, but the header 2; if the first is an",
        ),
        ("sep=;\n", "utf-8", r"the CSV is empty"),
        ('Path,"label\na.png",0\n', "utf-8", r"row 1: .*a line break in 'label\\na.png'"),
        ('Path,label,note\na.png,0,"one\nb.png,1,two\nc.png,1,"\n', "utf-8", r"row 2: .*a line break in 'one\\nb.png"),
        ('note,Path,label\n"one,a.png,0\ntwo",b.png,1\n', "utf-8", r"row 2: .*a line break in 'one,a.png,0\\ntwo'"),
        ('Path,note,label\na.png,"one,0\nb.png,two",1\n', "utf-8", r"row 2: .*a line break in 'one,0\\nb.png,two'"),
        ('Path;note;label\na.png;"one;0\nb.png;two";1\n', "utf-8", r"row 2: expected values separated by semicolons"),
        ("Path,label\n#a.png\n#b.png,0\nc.png\n", "utf-8", r"expected 2 values in every row.*\n  row 4: 1 values$"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, encoding: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        listing_of(tmp_path, text, encoding)


@pytest.mark.parametrize("column", ["Path", "label"])
def test_a_line_break_where_it_would_be_read_is_refused(tmp_path: Path, column: str) -> None:
    listing = listing_of(tmp_path, f'{column},x,y\n"a\nb",1,2\n"c",1,2\n')
    with pytest.raises(
        UserError, match=rf"one line in every value of the column {column.lower()}.*\n  row 2: 'a\\nb'$"
    ):
        listing.column(column.lower())


def test_a_row_that_begins_with_a_hash_is_one_if_it_is_as_long(tmp_path: Path) -> None:
    listing = listing_of(tmp_path, "Path,label\n#1.png,0\n# 2.png,0\n3.png,1\n")
    assert listing.column("path") == ["#1.png", "3.png"]
    assert listing.rows[1][0] == 4


NOTES = ["", "ok", '"a, b; c"', '5"', '"two\nlines"', '"x ""y"" z"', '"l1\n\nl3; a"', 'a"b']
"""Values of columns that are not read; some have quotation marks as they should not be."""


def test_quotation_marks_lose_no_row(tmp_path: Path) -> None:
    """Put up to two marks at ends of values: all rows are read, or one is named."""
    num_read = 0
    for seed in range(300):
        generator = random.Random(seed)
        separator, columns = generator.choice(",;\t"), generator.sample(["Path", "label", "note", "more"], 4)
        rows = []
        for number in range(generator.randint(2, 8)):
            note, more = generator.choices(NOTES, k=2)
            values = {"Path": f"{number}.png", "label": "1", "note": note, "more": more}
            rows.append([values[column] for column in columns])
        for _ in range(generator.randrange(3)):
            row, column = generator.choice(rows), generator.randrange(4)
            row[column] = generator.choice(['"' + row[column], row[column] + '"'])
        text = "\n".join(separator.join(row) for row in [columns, *rows])
        with contextlib.suppress(UserError):
            assert len(listing_of(tmp_path, text).column("path")) == len(rows), text
            num_read += 1
    assert num_read > 100


def test_titles_of_a_spreadsheet_above_the_header_are_said(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("Haematology,,\nExport 2023-05-01,,\n\nImage,Patient,label\n0.png,P1,0\n1.png,,\n")
    file = read_csv(path)
    assert file.header == (4, ["Image", "Patient", "label"])
    assert [values[0] for _, values in file.rows] == ["0.png", "1.png"]
    assert file.notes == ("2 lines above the header of the CSV have one value each, and are not read",)


FOOTNOTES = "a By two readers.;;\nAbbreviations:;;\n"


def test_remarks_below_a_table_are_counted_and_not_read(tmp_path: Path) -> None:
    listing = listing_of(tmp_path, f"Table S4. Cells;;\nPath;label;Pt.\na.png;0;1\nb.png;1;2\n{FOOTNOTES}")
    assert [values["path"] for _, values in listing.rows] == ["a.png", "b.png"]
    assert any(note.startswith("2 lines at the end of the CSV have one value each") for note in listing.notes)


def test_rows_with_nothing_but_an_image_are_no_remarks(tmp_path: Path) -> None:
    listing = listing_of(tmp_path, "Path;label;subject\na 1.png;;\nb 2.png;;\n")
    assert len(listing.rows) == 2
    listing = listing_of(tmp_path, "case;label;subject\na 1;;\nb 2;;\n")
    assert len(listing.rows) == 2
    assert not any("at the end" in note for note in listing.notes)


def test_ids_that_a_spreadsheet_has_rounded_are_refused(tmp_path: Path) -> None:
    listing = listing_of(tmp_path, "Path;label;IPP\na.png;0;8,00E+06\nb.png;1;8,00E+06\nc.png;1;17\n")
    with pytest.raises(
        UserError, match=r"rounded the ids in the column ipp; .*\n  row 2: 8,00E\+06\n  row 3: 8,00E\+06$"
    ):
        listing.subjects("IPP", "subject")


@pytest.mark.parametrize(
    ("titles", "separator"),
    [
        ("Table S4. Cells of the cohort\n", ","),
        ("Table S4. Cells, as read by two readers\n", "\t"),
        ("Table S4\n\nExported in 2022\n", ";"),
        ('"Table S4. Cells, patients"\n', ","),
    ],
)
def test_titles_without_separators_above_the_header_are_not_read(tmp_path: Path, titles: str, separator: str) -> None:
    path = tmp_path / "list.csv"
    rows = [("Path", "label", "Pt"), ("a.png", "0", "1"), ("b.png", "1", "2")]
    path.write_text(titles + "".join(f"{separator.join(row)}\n" for row in rows))
    file = read_csv(path)
    start = titles.count("\n") + 1
    assert file.header == (start, ["Path", "label", "Pt"])
    assert [number for number, _ in file.rows] == [start + 1, start + 2]
    number = len(titles.split("\n")) - titles.count("\n\n") - 1
    lines, verb, are = ("line", "has", "is") if number == 1 else ("lines", "have", "are")
    assert f"{number} {lines} above the header of the CSV {verb} one value each, and {are} not read" in file.notes


@pytest.mark.parametrize("text", ["Path\na.png,0\nb.png,1\n", "Path\na.png\nb.png\n", "a.png\nb.png,c\nd.png,e\n"])
def test_a_first_line_above_images_is_no_title(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert not any("above the header" in note for note in read_csv(path).notes)
