"""The documents: short lines, links that resolve, tests that exist. ``test_map.py`` checks commands and paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

MAX_COLUMNS = 100

CODE = re.compile(r"^```.*?^```$|(?<=\n\n)(?: {4}[^\n]*\n|\n)+", re.MULTILINE | re.DOTALL)
"""Blocks of code: between fences, or indented after an empty line."""

CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TEST = re.compile(r"\btest_\w+\.py\b")


def anchors_of(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page: lower case, no punctuation, a hyphen for each space."""
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in HEADING.findall(CODE.sub("", page))}


def long_lines(page: str) -> list[str]:
    """Lines of prose over the limit. Tables and code cannot be wrapped, and of a link only its text counts."""
    lines = CODE.sub("", page).splitlines()
    return [line for line in lines if not line.startswith("|") and len(LINK.sub("[]", line)) > MAX_COLUMNS]


def broken_links(path: Path, page: str) -> list[str]:
    """Targets inside of the project that do not exist, as files or as headings."""
    broken = []
    for link in LINK.findall(CODE_SPAN.sub("", CODE.sub("", page))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_is_wrapped_and_its_links_resolve(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert long_lines(page) == []
    assert broken_links(path, page) == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {name for path in PAGES for name in TEST.findall(path.read_text(encoding="utf-8"))}
    assert named
    assert sorted(name for name in named if not any((ROOT / "tests").rglob(name))) == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link).resolve() for link in LINK.findall(index) if "://" not in link}
    assert {path for path in PAGES if path.parent != ROOT} - {ROOT / "docs" / "README.md"} <= linked


def test_faults_in_a_page_are_found(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    page = f"""# A title: `code` & more
{"word " * 25}
| {"table " * 25} |
[a link]({"x" * 120}.md)

    {"indented " * 25} [no](link.md)

```bash
{"command " * 25} [no](link.md)
```
[good](#a-title-code--more) [bad](#a-title) `[code](no.md)` [away](https://example.org/{"x" * 90})
"""
    path.write_text(page, encoding="utf-8")
    assert long_lines(page) == ["word " * 25]
    assert broken_links(path, page) == [f"{'x' * 120}.md", "#a-title"]
