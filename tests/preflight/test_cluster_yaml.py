"""Cluster files are parsed, or refused with a reason, whatever they contain."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.preflight.cluster_yaml import InvalidYaml, parse

ROOT = Path(__file__).parents[2]
BILLIONS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
)


@pytest.mark.parametrize("name", ["cluster.yaml", "cluster.onprem.yaml"])
def test_the_projects_own_files_are_parsed(name: str) -> None:
    assert parse((ROOT / name).read_text())["provider"]["type"] in ("aws", "local")


def test_aliases_are_resolved() -> None:
    assert parse("a: &a [1, {b: 2}]\nc: *a") == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}
    assert parse("") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", r"line \d: expected the node content"),
        ("x: 2024-13-45", r"ValueError: month must be in 1..12"),
        (f"max_workers: {'9' * 5000}", r"ValueError: Exceeds the limit"),
        ("max_workers: !!int abc", r"ValueError: invalid literal"),
        ('max_workers: !!int ""', r"IndexError"),
        ("!!timestamp abc: 1", r"AttributeError"),
        ("x: !!python/object/apply:os.system [true]", r"line 1: could not determine a constructor"),
        ("x: " + "[" * 400 + "]" * 400, r"nested too deeply"),
        ("x: " + "[" * 20_000 + "]" * 20_000, r"nested too deeply"),
        ("x: &x [*x]", r"nested too deeply, or contains itself"),
        (BILLIONS, r"its aliases stand for more than 100,000 values"),
    ],
    ids=lambda value: value[:30],
)
def test_what_cannot_be_parsed_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidYaml, match=reason):
        parse(text)
