"""YAML is parsed, or refused with a reason, whatever it contains."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.yaml_text import InvalidYaml, StrictLoader, parse

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


def test_strict_yaml_reads_numbers_as_people_write_them_and_nothing_else_as_numbers() -> None:
    text = """
rates: [1e-4, 1E-2, .5, 2., -3.5e+2]
integers: [0, -7, 100000]
texts: [no, on, 2024-01-01, 1_000, 010, 0x1F, 12:30, .nan, .inf, "1e-4"]
others: [true, False, null, ~]
empty:
"""
    assert parse(text, StrictLoader) == {
        "rates": [1e-4, 1e-2, 0.5, 2.0, -350.0],
        "integers": [0, -7, 100000],
        "texts": ["no", "on", "2024-01-01", "1_000", "010", "0x1F", "12:30", ".nan", ".inf", "1e-4"],
        "others": [True, False, None, None],
        "empty": None,
    }
    assert parse("a: &a {b: 1}\nc: {<<: *a, d: 2}", StrictLoader)["c"] == {"b": 1, "d": 2}
    # The loader of other files is as it was.
    assert parse("rate: 1e-4") == {"rate": "1e-4"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: 2\na: 3", r"^line 3: a is given twice$"),
        ("a: {b: 1, b: 1}", r"^line 1: b is given twice$"),
        ("!!python/object:os.system x", r"could not determine a constructor"),
        (BILLIONS, r"its aliases stand for more than"),
    ],
    ids=lambda value: value[:30],
)
def test_strict_yaml_refuses_keys_that_are_given_twice(text: str, reason: str) -> None:
    with pytest.raises(InvalidYaml, match=reason):
        parse(text, StrictLoader)
