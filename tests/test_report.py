"""The report of a study, drawn from its folder alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leukemia.best import Best
from leukemia.config import Recipe
from leukemia.files import write_json
from leukemia.folds import RANDOM_CELL_WARNING
from leukemia.metrics import METRICS
from leukemia.mistakes import MissingFile
from leukemia.report import difference_to_start, main, write_study_report
from leukemia.study import Study

EXAMPLE = Path(__file__).parent / "example_study"


class Text(HTMLParser):
    """The words of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.tags = "", set[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words += data + "\n"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.open(Path(shutil.copytree(EXAMPLE, tmp_path / "runs" / "example")))


def change_info(study: Study, **changes: object) -> None:
    write_json(study.folder / "study.json", {**study.info, **changes})


def read(path: Path) -> Text:
    return Text(path.read_text(encoding="utf-8"))


def test_report_of_a_finished_study(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(study.folder.parent)]) == 0
    path = study.folder / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    text, best = read(path), Best.load(study.folder / "best.json")
    assert "Study example" in text.words
    assert "2 complete, 0 stopped, 0 failed, 0 running" in text.words
    assert f"{best.score['raw']:.4f}" in text.words
    assert best.data["fingerprint"] in text.words
    for name in ("accuracy", "balanced accuracy", "AUROC", "majority rate"):
        assert name in text.words
    assert RANDOM_CELL_WARNING not in text.words.lower()
    assert "script" not in text.tags
    pictures = {picture.name for picture in study.folder.glob("*.png")}
    assert pictures == {"confusion.png", "roc.png", "calibration.png", "curves.png", "search.png"}
    assert set(best.scores) == set(METRICS)


def test_random_cell_is_said_aloud(study: Study) -> None:
    change_info(study, protocol="random-cell")
    assert RANDOM_CELL_WARNING in read(write_study_report(study)).words.lower()


def test_study_without_a_winner_is_reported_by_name(study: Study) -> None:
    (study.folder / "best.json").unlink()
    for number, state in ((0, "failed"), (1, "stopped")):
        shutil.rmtree(study.trial_folder(number) / "seed_0")
        study.end_trial(number, state, "NonFiniteLoss: <non-finite> & co", None)
    with pytest.raises(MissingFile, match=r"^no study with a best.json in "):
        main(["--runs", str(study.folder.parent)])
    assert main([study.name, "--runs", str(study.folder.parent)]) == 0
    text = read(study.folder / "report.html")
    assert "0 complete, 1 stopped, 1 failed, 0 running" in text.words
    assert "NonFiniteLoss: <non-finite> & co" in text.words
    assert "Winner" not in text.words


def test_study_that_has_just_begun(tmp_path: Path) -> None:
    info = json.loads((EXAMPLE / "study.json").read_text())
    text = read(write_study_report(Study.create(tmp_path / "new", info)))
    assert "0 complete, 0 stopped, 0 failed, 0 running" in text.words


def test_names_are_escaped(study: Study) -> None:
    evil = "<script>alert(1)</script>&<b>"
    change_info(study, data={**study.info["data"], "uri": evil}, command=f"python {evil}")
    text = read(write_study_report(study))
    assert not text.tags & {"script", "b"}
    assert f"python {evil}" in text.words


def test_winner_is_compared_with_the_start_on_the_same_images(study: Study) -> None:
    best = Best.load(study.folder / "best.json")
    start = dataclasses.replace(best, trial="0000")
    assert difference_to_start(study, start) is None
    other = dataclasses.replace(best, trial="0001", recipe=study.recipe(1))
    seen = [study.out_of_fold(number, 0).set_index("image_id") for number in (1, 0)]
    correct = [(table["probability_leukemic"] >= 0.5) == table["label"] for table in seen]
    points = 100 * (correct[0].mean() - correct[1].mean())
    words = difference_to_start(study, other)
    assert words is not None
    assert f"{points:.1f}".lstrip("-") in words
    study.end_trial(0, "stopped", "hopeless", None)
    assert difference_to_start(study, other) is None


def test_running_trial_is_counted(study: Study) -> None:
    study.begin_trial(2, Recipe())
    assert "2 complete, 0 stopped, 0 failed, 1 running" in read(write_study_report(study)).words
