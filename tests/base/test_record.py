"""Records are strict, and what is wrong with one is one line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field

from leukemia.base.errors import UserError
from leukemia.base.record import missing_field, read_content, read_record, write_record, wrong_value


@dataclass(frozen=True, kw_only=True)
class Inner:
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None

    def __post_init__(self) -> None:
        if self.share == 0.5:
            raise ValueError("no half")


@dataclass(frozen=True, kw_only=True)
class Record:
    count: Annotated[int, Field(ge=2)]
    on: bool = True
    state: Literal["open", "closed"] = "open"
    parts: dict[Annotated[str, Field(pattern="^[a-z]+$")], Inner] = field(default_factory=dict)
    seeds: Annotated[list[int], Field(min_length=1)] = field(default_factory=lambda: [0])


@dataclass(frozen=True, kw_only=True)
class Closed:
    __pydantic_config__ = ConfigDict(extra="forbid")

    count: int


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def test_a_record_is_read_with_defaults_and_unknown_fields_are_ignored(path: Path) -> None:
    path.write_text('{"count": 3, "parts": {"a": {"share": 1}, "b": {"share": null}}, "later": []}')
    assert read_record(Record, path) == Record(count=3, parts={"a": Inner(share=1.0), "b": Inner(share=None)})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "expected a field 'count', found none"),
        ({"count": True}, "field 'count': expected an integer, got True"),
        ({"count": 2.0}, "field 'count': expected an integer, got 2.0"),
        ({"count": "2"}, "field 'count': expected an integer, got '2'"),
        ({"count": 1}, "field 'count': expected at least 2, got 1"),
        ({"count": 2, "on": 1}, "field 'on': expected true or false, got 1"),
        ({"count": 2, "state": "ajar"}, "field 'state': expected 'open' or 'closed', got 'ajar'"),
        ({"count": 2, "parts": []}, "field 'parts': expected an object, got []"),
        ({"count": 2, "parts": {"a": 1}}, "field 'parts.a': expected an object, got 1"),
        ({"count": 2, "parts": {"a": {}}}, "expected a field 'parts.a.share', found none"),
        ({"count": 2, "parts": {"a": {"share": 1.5}}}, "field 'parts.a.share': expected at most 1, got 1.5"),
        ({"count": 2, "parts": {"a": {"share": True}}}, "field 'parts.a.share': expected a number, got True"),
        ({"count": 2, "parts": {"a": {"share": float("nan")}}}, "field 'parts.a.share': expected a finite number"),
        ({"count": 2, "parts": {"a": {"share": 0.5}}}, "field 'parts.a': expected no half, got {'share': 0.5}"),
        ({"count": 2, "parts": {"7": {"share": 1}}}, "field 'parts.7': expected text that matches ^[a-z]+$, got '7'"),
        ({"count": 2, "seeds": 3}, "field 'seeds': expected a list, got 3"),
        ({"count": 2, "seeds": []}, "field 'seeds': expected a list of at least 1, got []"),
        ({"count": 2, "seeds": [1, None]}, "field 'seeds.1': expected an integer, got None"),
        ([], "expected a JSON object, got list"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(path: Path, content: Any, problem: str) -> None:
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as refusal:
        read_record(Record, path)
    line = str(refusal.value)
    assert line.startswith(f"{path}: {problem}")
    assert line.endswith("; restore the file from a backup")
    assert "\n" not in line


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"count": "\\ud800"}'])
def test_what_is_no_json_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"record.json: expected JSON \(.+\); restore the file"):
        read_record(Record, path)


def test_unknown_fields_are_refused_where_the_record_is_closed(path: Path) -> None:
    path.write_text('{"count": 2, "luck": 1}')
    with pytest.raises(UserError, match=r"record.json: field 'luck' is unknown; restore the file from a backup$"):
        read_record(Closed, path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r": cannot be read \(Is a directory\); restore the file from a backup$"):
        read_record(Record, tmp_path)


def test_values_that_are_wrong_beside_others_read_the_same(path: Path) -> None:
    with pytest.raises(UserError, match=r"record.json: field 'n': expected 2, as there, got 3; restore the file from"):
        raise wrong_value(path, "n", "2, as there", 3)
    with pytest.raises(UserError, match=r"record.json: expected a field 'n', found none; restore the file from a back"):
        raise missing_field(path, "n")


CONTENT = {"count": 3, "parts": {"a": {"share": 0.1 + 0.2}}, "text": "é"}


def test_a_record_has_a_checksum_that_its_readers_do_not_see(path: Path) -> None:
    write_record(path, CONTENT)
    written = json.loads(path.read_text())
    assert (list(written), len(written["sha256"])) == (["count", "parts", "text", "sha256"], 64)
    assert read_content(path) == CONTENT
    assert read_record(Record, path) == Record(count=3, parts={"a": Inner(share=0.1 + 0.2)})
    write_record(path, {"count": 2})
    assert read_record(Closed, path) == Closed(count=2)
    # Layout and order are no content.
    path.write_text(json.dumps(dict(sorted(written.items(), reverse=True))))
    assert read_content(path) == CONTENT


@pytest.mark.parametrize(
    ("old", "new"),
    [("3,", "2,"), ("0.30000000000000004", "0.3"), ("text", "texT"), ("\\u00e9", "e"), ("sha256", "sha256")],
)
def test_a_changed_record_is_refused(path: Path, old: str, new: str) -> None:
    write_record(path, CONTENT)
    text = path.read_text()
    text = text.replace(old, new, 1) if old != new else text[:-5] + ("0" if text[-5] != "0" else "1") + text[-4:]
    path.write_text(text)
    for read in (read_content, lambda path: read_record(Record, path)):
        with pytest.raises(
            UserError, match=r"^.*record.json: the file was changed after it was written .*; restore the"
        ):
            read(path)
