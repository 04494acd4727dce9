"""The table of fields in docs/space.md is the one that follows from the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.field_table import HEADER, field_table
from helpers.wings import ROOT

from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from search.planning.own_space import read_wishes
from search.policy.space import make_space
from search.policy.wishes import start_of

PAGE = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
EXAMPLES = PAGE.partition("\n## Comparisons\n")[0]
BLOCKS = [block.partition("```")[0] for block in EXAMPLES.split("```yaml\n")[1:]]


def test_the_table_of_fields_is_up_to_date() -> None:
    lines, expected = PAGE.splitlines(), field_table()
    start = lines.index(HEADER[0])
    assert lines[start:] == expected, "paste:\n" + "\n".join(expected)


def test_the_number_of_built_in_fields_is_stated() -> None:
    number = len(make_space(Recipe().resolved([(450, 450)]), {}).dimensions)
    assert f"A search has a built-in space: {number} fields of the recipe" in PAGE


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 3
    assert PAGE.count("\n### ") == 5


@pytest.mark.parametrize("text", BLOCKS)
def test_the_examples_are_spaces(text: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    wishes, _ = read_wishes(str(path), [])
    assert wishes is not None
    asked, settings = wishes.resolved({}, PRESETS["seed"]())
    assert start_of(PRESETS["seed"](), settings, asked)
