"""The comparison of journal, study folder and W&B runs: what agrees, what differs, what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.worlds import World

from benchmarks.faults import agreement
from benchmarks.faults.harness import records
from leukemia.base.errors import MissingFile
from leukemia.base.record import write_record
from leukemia.data.catalog import Catalog


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished study without W&B runs, in a folder that was renamed."""
    World(tmp_path / "study", tiny_catalog, trials=1).run()
    monkeypatch.setattr(records, "_wandb", lambda *_: [])
    return (tmp_path / "study").rename(tmp_path / "moved")


def test_the_records_of_a_renamed_study_agree(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert agreement.main([str(study)]) == 0
    assert capsys.readouterr().out == "1 trials agree in journal, study folder and W&B\n"


def test_a_changed_score_is_reported(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = study / "trials" / "0000" / "state.json"
    end = json.loads(state.read_text())
    score = end["score"]
    write_record(state, end | {"score": 0.125})
    assert agreement.main([str(study)]) == 1
    assert capsys.readouterr().out == f"trial 0000: score 0.125 in the folder, {score} in the journal\n"


def test_a_missing_study_or_journal_is_refused(study: Path) -> None:
    with pytest.raises(MissingFile, match=r"^no study at .*nowhere"):
        agreement.main([str(study.with_name("nowhere"))])
    with pytest.raises(SystemExit, match="2"):
        agreement.main([])
    (study / "optuna.journal").unlink()
    with pytest.raises(MissingFile, match=r"^no journal at .*optuna.journal; restore it from a backup"):
        agreement.main([str(study)])
