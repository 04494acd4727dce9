"""Pages of studies and models in Chromium: nothing is refused, cut off or missing, at both widths, in both schemes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.browser import CHROMIUM, Tab, new_tab
from helpers.cells import draw_cells
from helpers.compared import compared_study, recipes_of
from helpers.deliveries import deliver, searched
from helpers.long_search import finished_search

from leukemia.data.catalog import read_catalog
from leukemia.reporting.compared_study import compared_studies
from leukemia.reporting.studies_report import write_studies_report
from leukemia.reporting.study_report import write_study_report
from leukemia.reporting.winner_differences import winner_differences
from leukemia.study.best import Best
from leukemia.study.folder import Study
from search.sampling import importance

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

WIDE, NARROW = 1280, 390
DARK = "rgb(29, 33, 40)"

ALL_DRAWN = """(() => {
  const next = document.querySelector("figure:has(> script):not(.drawn)");
  next?.scrollIntoView();
  return !next;
})()"""
"""Figures are drawn when they come into view."""

CUT_OFF = """(() => {
  const found = [];
  const right = document.documentElement.clientWidth + 1;
  const kinds = "p, h1, h2, h3, li, td, th, figure, svg, figcaption, nav a, input, select";
  for (const each of document.querySelectorAll(kinds)) {
    if (!each.checkVisibility()) continue;
    const box = each.getBoundingClientRect();
    const scrolled = each.closest(".scrolled, .rows");
    const limit = scrolled && scrolled.scrollWidth > scrolled.clientWidth ? Infinity : right;
    if (box.right > limit || box.left < -1) found.push(`${each.tagName} ${each.textContent.slice(0, 40)}`);
  }
  return found;
})()"""
"""Elements that are wider than the page; a table may be wider than the box that it is scrolled in."""

OUTSIDE = """(() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg")) {
    if (!svg.checkVisibility()) continue;
    const frame = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (!text.textContent.trim() || getComputedStyle(text).opacity === "0" || !box.width) continue;
      const isBeside = box.left < frame.left - 2 || box.right > frame.right + 2;
      if (isBeside || box.top < frame.top - 2 || box.bottom > frame.bottom + 2)
        found.push(`${svg.closest("figure").id}: ${text.textContent}`);
    }
  }
  return found;
})()"""
"""Texts of figures that leave their figure."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of 26 trials with pausing, so that the report has all of its figures."""
    folder = tmp_path_factory.mktemp("report")
    catalog = read_catalog(draw_cells(folder / "cells", seed=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "NUM_RESAMPLES", 5)
        study = finished_search(folder / "runs" / "search", catalog, pausing=True)
    write_study_report(study, Best.find(study))
    return study


@pytest.fixture(scope="module")
def comparison(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that compares this study with two others, one of a long name, one without a winner."""
    catalog = read_catalog(draw_cells(tmp_path_factory.mktemp("again") / "cells", seed=1))
    runs, names = study.folder.parent, ("of-a-long-name" * 8, "unfinished")
    for name, uid, ends in zip(names, ("0" * 8, "1" * 8), ({}, {0: ("stopped", 1)}), strict=True):
        recipes = recipes_of({"data.grayscale": True})
        compared_study(runs / name, catalog, recipes, folds=3, study_uid=uid, skills=[0.8], ends=ends)
    studies = compared_studies(runs, [study.name, *names])
    page = runs / "comparison.html"
    write_studies_report(studies, winner_differences(studies), page)
    return page


@pytest.fixture
def tab() -> Iterator[Tab]:
    with new_tab() as tab:
        yield tab


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """The folder of a model that was tested on images of other patients, with long names."""
    folder = tmp_path_factory.mktemp("model")
    cells = draw_cells(folder / "cells", seed=1)
    test = draw_cells(folder / f"test-{'of-a-long-name-' * 4}", seed=7, subjects=range(11, 19), per_subject=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKEMIA_CACHE", str(session_cache))
        patch.setenv("WANDB_MODE", "disabled")
        study = searched(folder / "runs", read_catalog(cells), str(cells))
        assert deliver(study, "--test", test) == 0
    return study.folder / "final"


def show(tab: Tab, name: str) -> None:
    """Write a picture for a person to look at, if a folder is named."""
    if folder := os.environ.get("LEUKEMIA_PICTURES"):
        tab.picture(Path(folder) / f"{name}.png")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_report_is_whole(study: Study, tab: Tab, width: int, dark: bool) -> None:
    tab.open(study.folder / "report.html", width=width, dark=dark)
    tab.until(ALL_DRAWN)
    show(tab, f"{width}-{'dark' if dark else 'light'}")
    assert tab.problems == []
    assert tab.evaluate(CUT_OFF) == []
    assert tab.evaluate(OUTSIDE) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('figure.drawn .live svg').length") == num_figures(tab) >= 20
    assert (tab.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor") == DARK) == dark
    assert tab.evaluate("document.querySelector('.quoted').textContent").startswith("accuracy 0.")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_page_of_a_model_is_whole(model: Path, tab: Tab, width: int, dark: bool) -> None:
    tab.open(model / "report.html", width=width, dark=dark)
    tab.until(ALL_DRAWN)
    show(tab, f"model-{width}-{'dark' if dark else 'light'}")
    assert tab.problems == []
    assert tab.evaluate(CUT_OFF) == []
    assert tab.evaluate(OUTSIDE) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('figure.drawn .live svg').length") == num_figures(tab) >= 10
    # The gallery: each image beside its map, which is another picture of the same size.
    pairs = "[...document.querySelectorAll('.exhibit')].map((each) => [...each.querySelectorAll('img')])"
    sizes = tab.evaluate(f"{pairs}.map((pair) => pair.map((each) => [each.naturalWidth, Math.round(each.width)]))")
    assert len(sizes) >= 2
    assert all(first == second and first[0] == 32 and first[1] > 60 for first, second in sizes)
    assert tab.evaluate(f"{pairs}.every(([image, map]) => image.src !== map.src)")
    rows = "[...document.querySelectorAll('.grid tbody tr')].filter((row) => row.checkVisibility()).length"
    assert tab.evaluate(rows) == 16


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_comparison_of_studies_is_whole(comparison: Path, tab: Tab, width: int, dark: bool) -> None:
    tab.open(comparison, width=width, dark=dark)
    tab.until(ALL_DRAWN)
    show(tab, f"comparison-{width}-{'dark' if dark else 'light'}")
    assert tab.problems == []
    assert tab.evaluate(CUT_OFF) == []
    assert tab.evaluate(OUTSIDE) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('figure.drawn .live svg').length") == num_figures(tab) == 1
    rows = tab.evaluate("[...document.querySelectorAll('#part-1 tbody tr')].map((row) => row.cells[2].textContent)")
    assert [row.partition(":")[0] for row in rows] == ["paired", *["no winner in unfinished"] * 2]


def test_the_patients_of_a_model_are_sorted_and_filtered(model: Path, tab: Tab) -> None:
    tab.open(model / "report.html", width=WIDE)
    shown = "[...document.querySelectorAll('.grid tbody tr')].filter((row) => !row.hidden)"
    results = tab.evaluate(f"{shown}.map((row) => row.querySelector('[data-label=result]').textContent)")
    assert results == sorted(results, reverse=True), "the wrong ones first"
    assert tab.evaluate("document.querySelector('.grid select').selectedOptions[0].textContent") == "result"
    tab.evaluate("document.querySelector('.grid input').value = 'right called=leukemic'")
    tab.evaluate("document.querySelector('.grid input').dispatchEvent(new Event('input'))")
    assert tab.evaluate(f"{shown}.every((row) => /leukemic/.test(row.textContent) && /right/.test(row.textContent))")
    assert tab.evaluate(f"{shown}.length") < 16


def num_figures(tab: Tab) -> int:
    found: int = tab.evaluate("document.querySelectorAll('figure > script').length")
    return found


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_without_scripts_the_figures_are_static(study: Study, tab: Tab, width: int) -> None:
    tab.open(study.folder / "report.html", width=width, scripts=False)
    show(tab, f"{width}-static")
    visible = "[...document.querySelectorAll('{}')].filter((each) => each.checkVisibility()).length"
    assert tab.evaluate(visible.format(".static svg")) == num_figures(tab) >= 20
    assert tab.evaluate(visible.format(".controls")) == 0
    assert tab.evaluate(CUT_OFF) == []
    assert tab.evaluate(OUTSIDE) == []


def test_a_printed_report_has_its_static_figures(study: Study, tab: Tab, tmp_path: Path) -> None:
    tab.open(study.folder / "report.html", width=NARROW, dark=True)
    tab.until(ALL_DRAWN)
    tab.send("Emulation.setEmulatedMedia", media="print")
    visible = "[...document.querySelectorAll('{}')].filter((each) => each.checkVisibility()).length"
    assert tab.evaluate(visible.format(".static svg")) == num_figures(tab)
    assert tab.evaluate(visible.format(".live svg")) == 0
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(29, 36, 48)"
    tab.pdf(Path(os.environ.get("LEUKEMIA_PICTURES", tmp_path)) / "print.pdf")


def test_the_table_is_sorted_and_filtered(study: Study, tab: Tab) -> None:
    tab.open(study.folder / "report.html", width=WIDE)
    names = tab.evaluate("[...document.querySelectorAll('.grid th')].map((each) => each.textContent)")
    assert names[:3] == ["trial", "accuracy", "state"]
    rate = names.index("learning rate")

    def values(column: int) -> list[str]:
        rows = "[...document.querySelectorAll('.grid tbody tr')].filter((row) => !row.hidden)"
        found: list[str] = tab.evaluate(f"{rows}.map((row) => row.cells[{column}].dataset.value)")
        return found

    for is_reverse in (True, False):
        tab.evaluate(f"document.querySelectorAll('.grid th button')[{rate}].click()")
        found = [float(each) for each in values(rate)]
        assert found == sorted(found, reverse=is_reverse)
    tab.evaluate("document.querySelector('.grid input').value = 'complete learningrate<0.001'")
    tab.evaluate("document.querySelector('.grid input').dispatchEvent(new Event('input'))")
    filtered = [float(each) for each in values(rate)]
    assert max(filtered) < 0.001
    assert 0 < len(filtered) < len(found)
    assert set(values(2)) == {"complete"}
    shown = tab.evaluate("document.querySelector('.grid output').textContent")
    assert shown == f"{len(filtered)} of {len(found)}"


def test_a_figure_tells_the_values_under_the_pointer(study: Study, tab: Tab) -> None:
    tab.open(study.folder / "report.html", width=WIDE)
    tab.until(ALL_DRAWN)
    tab.evaluate("document.querySelector('#figure-confusion').scrollIntoView()")
    box = "document.querySelector('#figure-confusion .live .mark-rect path').getBoundingClientRect()"
    left, top = tab.evaluate(f"[{box}.left + 8, {box}.top + 8]")
    for x, y in ((1, 1), (left, top)):
        tab.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tab.until("document.querySelector('#vg-tooltip-element.visible') !== null")
    told = tab.evaluate("document.querySelector('#vg-tooltip-element').textContent")
    assert "share of row" in told
    assert "%" in told
