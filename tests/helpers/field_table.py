"""The table of all recipe fields in docs/space.md, from the code."""

from __future__ import annotations

import ast
import inspect
import itertools

from leukemia.config import sections
from leukemia.config.fields import FIELDS, SECTIONS, kind_of
from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.parameters import text_of
from leukemia.config.recipe import Recipe
from leukemia.config.sections import BOUNDS
from search.policy.built_in import built_in
from search.policy.dimensions import optimizers_of, values_text
from search.policy.searchable import NOT_SEARCHED

HEADER = ("| field | what it is | values | default | built-in search |", "|---|---|---|---|---|")


def field_table() -> list[str]:
    """The lines of the table; fields that cannot be searched have the reason instead of a range."""
    return [*HEADER, *(f"| {' | '.join(_row(key))} |" for key in FIELDS)]


def _row(key: str) -> list[str]:
    default = Recipe().flat()[key]
    shown = "" if default is None else f"`{text_of(default)}`"
    if key.startswith("optimizer.") and key != "optimizer.name":
        shown = _of_optimizers(key)
    searched = {each.key: each for each in built_in(Recipe().train.epochs)}
    search = f"cannot be searched: {NOT_SEARCHED[key]}" if key in NOT_SEARCHED else "–"
    if key in searched:
        search = f"{values_text(searched[key])}: {searched[key].reason}"
    return [f"`{key}`", _descriptions()[key], _values(key), shown or "–", search]


def _values(key: str) -> str:
    kind = kind_of(key)
    if isinstance(kind, tuple):
        return ", ".join(f"`{text_of(each)}`" for each in kind)
    if kind in (bool, str):
        return "`true`, `false`" if kind is bool else "text"
    number = "integer" if kind is int else "number"
    if key in BOUNDS:
        return f"{number}, {_span(*BOUNDS[key])}"
    name = key.split(".")[1]
    settings = {each: spec.settings[name] for each, spec in OPTIMIZERS.items() if name in spec.settings}
    spans: dict[str, list[str]] = {}
    for each, setting in settings.items():
        spans.setdefault(_span(setting.low, setting.high), []).append(f"`{each}`")
    having = optimizers_of(key)
    only = f", only {', '.join(f'`{each}`' for each in having)}" if having else ""
    texts = [f"{span} ({', '.join(names)})" if len(spans) > 1 else span for span, names in spans.items()]
    return f"{number}, {', '.join(texts)}{only}"


def _span(low: float, high: float) -> str:
    return f"{low:,.6g} to {high:,.10g}"


def _of_optimizers(key: str) -> str:
    defaults = {
        name: spec.settings[key.split(".")[1]].default
        for name, spec in OPTIMIZERS.items()
        if key.split(".")[1] in spec.settings and spec.is_searched
    }
    by_value: dict[str, list[str]] = {}
    for name, value in defaults.items():
        by_value.setdefault("all epochs" if value is None else f"`{text_of(value)}`", []).append(name)
    if len(by_value) == 1:
        return next(iter(by_value))
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in by_value.items())


def _descriptions() -> dict[str, str]:
    """The first sentence of the docstring below each field."""
    found = {}
    classes = {
        node.name: node for node in ast.parse(inspect.getsource(sections)).body if isinstance(node, ast.ClassDef)
    }
    for section, cls in SECTIONS.items():
        body = classes[cls.__name__].body
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(field.target, ast.Name):
                words = " ".join(ast.literal_eval(text.value).split()).replace("``", "`")
                found[f"{section}.{field.target.id}"] = words.split(". ")[0].rstrip(".")
    return found
