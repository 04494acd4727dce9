"""The HTML page: self-contained, well-formed, escaped."""

import base64
import math
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from leukemia.base.errors import MissingFile
from leukemia.reporting.augmented_sheet import plot_augmented
from leukemia.reporting.page import Section, metrics_table, write_page
from leukemia.scoring.metrics import Interval


def test_metrics_table_keeps_the_order_and_explains_undefined_scores():
    scores = {
        "auroc": Interval(math.nan, math.nan, math.nan),
        "accuracy": Interval(0.8734, 0.8512, 0.8939),
        "ece": Interval(0.05, math.nan, math.nan),
    }
    assert metrics_table(scores, 0.68213).to_numpy().tolist() == [
        ["accuracy", "0.873 (0.851 to 0.894)"],
        ["AUROC", "undefined: only one class"],
        ["calibration error of the predicted class (ECE)", "0.050 (no interval: too few groups)"],
        ["majority rate", "0.682"],
    ]


class Page(HTMLParser):
    """Tags, their balance, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.opened == [], "tags are left open"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        if self.opened and self.opened[-1] != "style":
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


EVIL = "<script>alert('x')</script>\"&"


def test_page_is_self_contained_and_escaped(tmp_path):
    picture = tmp_path / "x.png"
    plot_augmented(np.zeros((1, 2, 8, 8, 3), dtype=np.uint8), picture)
    table = pd.DataFrame({EVIL: [EVIL]})
    sections = [
        Section(EVIL, EVIL, table, [(picture, EVIL)], [EVIL, "second"]),
        Section("b", "one\n\ntwo"),
        Section("c", ""),
    ]
    write_page(tmp_path / "report.html", EVIL, EVIL, sections)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.all("script")
    # Title, heading, subtitle, contents, section, text, point, column, cell and caption are text, not tags.
    assert page.texts.count(EVIL) == 10
    assert len(page.all("li")) == 2
    assert len(page.all("ul")) == 1, "a section without points has no list"
    (image,) = page.all("img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == picture.read_bytes()
    assert image["alt"] == EVIL
    assert "http:" not in text
    assert "https:" not in text
    assert all(each["href"].startswith("#part-") for each in page.all("a"))
    assert len(page.all("section")) == len(page.all("a")) == 3
    assert {"one", "two"} <= set(page.texts)
    assert "prefers-color-scheme: dark" in text


def test_control_characters_and_marks_of_text_direction_are_escaped(tmp_path):
    evil = "cell\x1b[2J\u202e"
    write_page(
        tmp_path / "report.html", evil, evil, [Section(evil, f"one\ntwo {evil}", [(evil,), (evil,)], (), [evil])]
    )
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(line.isprintable() for line in text.splitlines())
    assert r"two cell\x1b[2J\u202e" in text


def test_pictures_are_shown_in_their_size_in_inches(tmp_path):
    plot_augmented(np.zeros((1, 4, 8, 8, 3), dtype=np.uint8), tmp_path / "x.png")
    write_page(tmp_path / "report.html", "t", "s", [Section("a", "", None, [(tmp_path / "x.png", "c")])])
    (image,) = Page((tmp_path / "report.html").read_text(encoding="utf-8")).all("img")
    assert int(image["width"]) == pytest.approx((4 * 1.25 + 0.2) * 96, abs=1)


def test_tables_accept_rows_and_data_frames(tmp_path):
    rows = [["trial", "score", "note"], ["0007", 0.87345, None], [np.int64(12), math.nan, True]]
    frame = pd.DataFrame({"trial": ["0007"], "score": [0.87345]}, index=[99])
    write_page(tmp_path / "r.html", "t", "s", [Section("a", "", rows), Section("b", "", frame)])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    cells = ["trial", "score", "note", "0007", "0.8734", "–", "12", "–", "True", "trial", "score", "0007", "0.8734"]
    assert [each for each in page.texts if each.strip() and each not in ("t", "s", "a", "b")] == cells
    assert len(page.all("div")) == 2, "each table scrolls in its own box"
    assert text.count('<td class="number">') == 4


def test_missing_picture_is_reported_and_no_page_is_written(tmp_path):
    section = Section("a", "", None, [(tmp_path / "absent.png", "c")])
    with pytest.raises(MissingFile, match=r"report: no picture at .*absent\.png; draw it before"):
        write_page(tmp_path / "report.html", "t", "s", [section])
    assert not (tmp_path / "report.html").exists()


def test_report_needs_no_display_and_no_heavy_library():
    check = (
        "import sys, leukemia.reporting.page, leukemia.reporting.augmented_sheet, leukemia.reporting.study_report; "
        "print(sorted({'matplotlib.pyplot', 'torch', 'ray', 'optuna', 'wandb', 'search'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
