"""``leukemia.evaluate``: a delivered model is scored on test sets, each has its own results, and the card names all."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from helpers.cells import draw_cells
from helpers.deliveries import deliver, hidden

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.delivery.results import RESULT_FILES, all_tested
from leukemia.evaluate import main
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord


@pytest.fixture
def folder(
    delivered: Study, untrained: list[Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A model that was copied from its study; nothing is trained again."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    yield Path(shutil.copytree(delivered.folder / "final", tmp_path / "models" / "ours"))
    assert untrained == []


def evaluate(folder: Path, test: Path, *options: str) -> int:
    return main(["--model", str(folder), "--test", str(test), "--device", "cpu", *options])


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def without_times(content: dict) -> dict:
    return {name: value for name, value in content.items() if name != "sha256"}


def test_it_does_what_final_does_with_a_model_that_exists(
    delivered: Study, folder: Path, patients: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(delivered, "--test", patients)
    there = capsys.readouterr().out
    assert evaluate(folder, patients) == 0
    here = capsys.readouterr().out
    assert without_times(metrics(folder)) == without_times(metrics(delivered.folder / "final"))
    pd.testing.assert_frame_equal(
        *(pd.read_csv(each / "predictions.csv") for each in (folder, delivered.folder / "final"))
    )
    scores = [line for line in here.splitlines() if line.startswith(("test ", "majority ", "caveat: "))]
    assert len(scores) == 6
    assert set(scores) <= set(there.splitlines())
    assert f"results: {folder / 'tests' / 'patients'}\n" in here
    record = ModelRecord.read(folder)
    assert record is not None
    record.check_files(folder)
    assert record.evaluation is not None
    assert record.evaluation.command.startswith("python -m leukemia.evaluate --model ")
    assert hidden(delivered) == []
    assert [path.name for path in folder.parent.iterdir() if path.name != ".ours.lock"] == ["ours"]


def test_each_test_set_has_its_own_results_and_the_card_names_all(
    folder: Path,
    patients: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [
        draw_cells(tmp_path / place / "test", seed=seed, subjects=range(seed, seed + 2), per_subject=2)
        for place, seed in (("a", 20), ("b", 30))
    ]
    for test in (patients, *others):
        evaluate(folder, test)
    assert [each.name for each in all_tested(folder)] == ["patients", "test", "test-2"]
    for name in ("patients", "test", "test-2"):
        results = folder / "tests" / name
        assert {path.name for path in results.iterdir()} == {*RESULT_FILES, layout.MODEL}
        record = ModelRecord.read(results)
        assert record is not None
        record.check_files(results)
        row = next(
            line for line in (folder / "MODEL_CARD.md").read_text().splitlines() if line.startswith(f"| {name} | ")
        )
        assert f" | {metrics(results)['test']['n']} | grouped | " in row
    assert "reporting only the best of several would be too optimistic" in (folder / "MODEL_CARD.md").read_text()
    # In the model's folder are those of the latest.
    assert metrics(folder) == metrics(folder / "tests" / "test-2")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    capsys.readouterr()
    stored = metrics(folder / "tests" / "test")["test"]
    monkeypatch.chdir(folder.parent)
    evaluate(Path(folder.name), others[0])
    printed = capsys.readouterr().out
    assert f"already tested on these data: {folder.name}/tests/test/metrics.json\n" in printed
    assert f"test accuracy: {stored['accuracy']['value']:.4f} (" in printed
    assert f" of {stored['n']} images), 95 % interval " in printed
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_test_set_that_was_trained_on_is_refused(folder: Path, tiny_folder: Path) -> None:
    with pytest.raises(UserError, match=r"^--test: 48 images and 12 subjects of the test set are in the training data"):
        evaluate(folder, tiny_folder)
    assert not (folder / "tests").exists()
    evaluate(folder, tiny_folder, "--allow-overlap")
    caveat = "The test set overlaps the training data (48 images; 12 subjects): its scores are too optimistic."
    assert metrics(folder)["caveats"] == [caveat]
    assert f"- {caveat}\n" in (folder / "MODEL_CARD.md").read_text()
    with pytest.raises(UserError, match=r"^--submission: it has a row for every test image, some of which --drop-over"):
        evaluate(folder, tiny_folder, "--drop-overlap", "--submission", "new.csv")


def test_caveats_of_one_test_are_not_those_of_the_next(folder: Path, tiny_folder: Path, patients: Path) -> None:
    evaluate(folder, tiny_folder, "--allow-overlap")
    evaluate(folder, patients)
    assert metrics(folder)["caveats"] == []
    evaluate(folder, patients, "--subject-pattern", "")
    assert metrics(folder)["caveats"] == [
        "Not all subjects are known in both data sets: patients of the test set may be in the training data."
    ]


def test_a_model_without_a_record_of_its_training_images_says_so(folder: Path, patients: Path) -> None:
    record = ModelRecord.read(folder)
    assert record is not None
    (folder / "seen.json").unlink()
    kept = {name: each for name, each in record.files.items() if name != "seen.json"}
    dataclasses.replace(record, files=kept).keep(folder)
    evaluate(folder, patients)
    assert metrics(folder)["test"]["protocol"] == "random-cell"
    assert metrics(folder)["caveats"][-1].startswith("The model has no seen.json, so the test images were not compared")
    (folder / "model.json").unlink()
    with pytest.raises(UserError, match=r"^--model .*ours: no model.json, since an early version delivered it, so no"):
        evaluate(folder, patients)


def test_results_that_an_earlier_version_kept_are_listed(folder: Path, patients: Path, tmp_path: Path) -> None:
    """It had the latest in the model's folder only, and those before in folders named after their fingerprints."""
    evaluate(folder, patients)
    shutil.rmtree(folder / "tests")
    earlier = folder / "earlier_tests" / ("0" * 16)
    earlier.mkdir(parents=True)
    shutil.copy(folder / "metrics.json", earlier)
    others = draw_cells(tmp_path / "others", seed=20, subjects=range(20, 22), per_subject=2)
    evaluate(folder, others)
    fingerprint = read_catalog(patients).fingerprint[:16]
    assert [each.name for each in all_tested(folder)] == ["0" * 16, fingerprint, "others"]
    assert (folder / "tests" / fingerprint / "predictions.csv").is_file()


def test_a_test_set_without_labels_has_predictions_and_a_submission(
    folder: Path, patients: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "unlabelled"
    images.mkdir()
    for number, path in enumerate(sorted(patients.rglob("*.png"))):
        shutil.copy(path, images / f"{number}.png")
    evaluate(folder, images, "--submission", str(tmp_path / "submission.csv"))
    assert "12 test images without labels: predictions only" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "submission.csv")) == 12
    assert "| unlabelled | " in (folder / "MODEL_CARD.md").read_text()
    assert {path.name for path in (folder / "tests" / "unlabelled").iterdir()} == {
        layout.METRICS,
        layout.PREDICTIONS,
        layout.REPORT,
        layout.MODEL,
    }
