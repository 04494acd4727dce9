"""Recording a table: what cannot be recorded is refused before anything is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.racing.replaying import recording
from leukemia.base.errors import UserError

SPEC = recording.RecordSpec(
    data="nowhere", settings={"data.size_px": 32}, num_recipes=2, num_folds=2, num_seeds=1, num_images=None
)


class NoPool:
    """Replaces a pool, which would restart failing workers forever."""

    def Pool(self, *given: object) -> None:  # noqa: N802
        raise AssertionError("no worker should start")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "nowhere"),
        ({"num_folds": 99}, "99 folds need at least 99 groups"),
        ({"settings": {"data.crop_px": 64}}, "crop is 64 px"),
    ],
)
def test_unreadable_data_is_refused_before_recording_starts(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], message: str
) -> None:
    monkeypatch.setattr(recording.multiprocessing, "get_context", lambda method: NoPool())
    spec = replace(SPEC, **({"data": str(tiny_folder)} | changes if changes else {}))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        recording.record(spec, tmp_path / "record", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_another_record_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "wanted.json").write_text(json.dumps(vars(SPEC) | {"num_folds": 5, "settings": {}}))
    with pytest.raises(
        UserError, match=r"wanted\.json: the .* has a different num_folds, settings; choose another folder$"
    ):
        recording.record(SPEC, tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["wanted.json"]
