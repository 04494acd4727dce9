"""examples/search.ipynb runs as it is, and was stored with its outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.notebooks import executed

NOTEBOOK = json.loads((Path(__file__).parents[2] / "examples" / "search.ipynb").read_text(encoding="utf-8"))


def kinds(notebook: dict[str, Any]) -> list[list[str]]:
    return [[each["output_type"] for each in cell.get("outputs", [])] for cell in notebook["cells"]]


def test_the_stored_notebook_was_executed_in_one_go() -> None:
    counts = [cell["execution_count"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert any("text/html" in each.get("data", {}) for cell in NOTEBOOK["cells"] for each in cell.get("outputs", []))


@pytest.mark.long
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    assert kinds(executed(NOTEBOOK, tmp_path)) == kinds(NOTEBOOK)
