"""Each file name of a study is spelled once: in the layout, or where ``model.pretrained`` needs it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from leukemia.config import delivered
from leukemia.study import layout

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "example_study"
PUBLIC = {name: value for name, value in vars(layout).items() if name.isupper() and not name.startswith("_")}
NAMES = {value for value in PUBLIC.values() if isinstance(value, str)}
FILES = {name for name in NAMES if "." in name and "*" not in name}


def strings_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string literal in a program, except docstrings."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def joined(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string literal joined to a path with ``/``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield node.lineno, str(node.right.value)


def spelled(source: str) -> list[str]:
    """File names of the layout that a program has as string literals, with their lines."""
    files = [f"{line}: {name}" for line, text in strings_of(source) for name in FILES if name in text]
    return files + [f"{line}: {name}" for line, name in joined(source) if name in NAMES]


SPELLING = [Path(module.__file__) for module in (layout, delivered)]
SOURCES = [path for package in ("leukemia", "search") for path in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_layout_spells_the_names_of_a_studys_files(path: Path) -> None:
    found = spelled(path.read_text(encoding="utf-8"))
    assert (not found) is (path not in SPELLING), found


def test_no_name_is_spelled_twice() -> None:
    names = [name for path in SPELLING for _, name in strings_of(path.read_text(encoding="utf-8")) if name in FILES]
    assert sorted(names) == sorted(FILES)


def test_names_are_found_in_code_but_not_in_docstrings() -> None:
    source = (
        '"""study.json"""\ndef f(a):\n    """best.json"""\n    return a / "trials", f"{a}/state.json", a["wandb"]\n'
    )
    assert sorted(spelled(source)) == ["4: state.json", "4: trials"]


def test_paths_of_a_trials_files() -> None:
    assert (layout.trial(12345), layout.seed(3), layout.fold(0), layout.predictions(0)) == (
        "trials/12345",
        "seed_3",
        "fold_0.json",
        "fold_0.csv",
    )
    assert [layout.seed_of(name) for name in ("seed_3", "seed_", "seed_x", "3")] == [3, None, None, None]
    assert [layout.fold_of(name) for name in ("fold_3.json", ".fold_3.json.tmp", "fold_x.json")] == [3, None, None]


@pytest.mark.parametrize("name", ["00007", "007", "\u0660\u0660\u0660\u0667", "+007", "0_07"])
def test_another_spelling_of_a_number_is_foreign(name: str) -> None:
    assert layout.trial_of(name) is layout.seed_of(f"seed_{name}") is layout.fold_of(f"fold_{name}.json") is None
    for file in (f"trials/{name}/state.json", f"trials/0007/seed_{name}/failed.json"):
        assert not layout.is_study_file(file)
    assert not layout.is_study_file(f"trials/0007/seed_0/fold_{name}.csv")


def test_numbers_of_five_digits_are_read_as_written() -> None:
    assert layout.trial_of(layout.trial(12345).rpartition("/")[2]) == 12345
    assert layout.is_study_file(f"{layout.trial(12345)}/seed_10/fold_10.csv")


def test_every_name_is_of_a_file_that_a_study_has() -> None:
    known = layout.STUDY_FILES | layout.TRIAL_FILES | layout.SEED_FILES | layout.MODEL_FILES
    # The lock belongs to the driver, not to the study.
    assert FILES - known == {layout.LOCK}
    names = [str(path.relative_to(EXAMPLE)) for path in EXAMPLE.rglob("*") if path.is_file()]
    assert len(names) > 20
    assert [name for name in names if not layout.is_study_file(name)] == []
