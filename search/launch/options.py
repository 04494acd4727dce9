"""The options of a search as keywords of Python, and the command line that they stand for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

from leukemia.config.protocol import Protocol
from leukemia.data.reading import Scope, Spelling
from leukemia.study.schema import SamplerName

Paths: TypeAlias = str | Path | Sequence[str | Path]

SWITCHES = {"resume": ("--resume", ""), "quiet": ("--quiet", "")}
"""Options without a value that have one flag only, with the words for true and false."""


class Options(TypedDict, total=False):
    """The options of ``python -m search.run``, which ``--help`` explains, with ``_`` for ``-``; None: not given.

    ``settings`` are those of ``--set``, and ``plugins`` those of ``--plugin``; ``space`` and ``recipes`` are files or
    their content, and ``search`` has values or a text for each field. ``--dry-run`` is left out, since it makes no
    study.
    """

    study: str | None
    runs: str | Path | None
    resume: bool
    storage: str | Path | None
    wandb_ids: bool | None
    base: str | Path | None
    subjects_from: str | Path | None
    subject_column: str | None
    subject_pattern: str | None
    subject_spelling: Spelling | None
    subject_scope: Scope | None
    split_column: str | None
    classes: Sequence[str] | None
    label_column: str | None
    trials: int | None
    folds: int | None
    preset: str | None
    settings: Mapping[str, Any] | None
    config: str | Path | None
    space: str | Path | Mapping[str, Any] | None
    search: Mapping[str, Any] | Sequence[str] | None
    recipes: str | Path | Sequence[Mapping[str, Any]] | None
    plugins: Paths | None
    objective: str | None
    protocol: Protocol | None
    seed: int | None
    warm_start: Sequence[str] | None
    budget_hours: float | None
    racing: bool | None
    pausing: bool | None
    rungs: str | Sequence[float] | None
    keep: float | None
    paused_gb: float | None
    sampler: SamplerName | None
    starts: int | None
    margin: float | None
    repeats: int | None
    patience: int | None
    address: str | None
    device: Literal["auto", "cpu", "cuda", "mps"] | None
    gpus_per_trial: float | Literal["auto"] | None
    cpus_per_trial: int | None
    max_gpus: int | None
    quiet: bool


def arguments_of(data: Paths | None, options: Options) -> list[str]:
    """The command line of a search.

    >>> print(*arguments_of("cells", {"trials": 5, "racing": False, "settings": {"train.epochs": 3}}))
    --data cells --trials=5 --no-racing --set=train.epochs=3

    Raises:
        TypeError: an option that does not exist.
    """
    if unknown := sorted(set(options) - Options.__annotations__.keys()):
        raise TypeError(f"search() got an unexpected keyword argument {unknown[0]!r}")
    paths = [data] if isinstance(data, str | Path) else list(data or ())
    given = ["--data", *map(str, paths)] if paths else []
    return [*given, *(word for name, value in options.items() for word in _words(name, value))]


def _words(name: str, value: Any) -> Iterator[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is None:
        return
    if name in SWITCHES:
        yield from filter(None, [SWITCHES[name][0 if value else 1]])
    elif isinstance(value, bool):
        yield flag if value else f"--no-{flag.removeprefix('--')}"
    elif name == "settings":
        yield from (f"--set={field}={'' if each is None else each}" for field, each in value.items())
    elif name == "space" and isinstance(value, Mapping):
        yield f"{flag}={json.dumps(value)}"
    elif name == "recipes" and not isinstance(value, str | Path):
        yield f"{flag}={json.dumps(list(value), ensure_ascii=False)}"
    elif name == "plugins":
        yield from (f"--plugin={each}" for each in ([value] if isinstance(value, str | Path) else value))
    elif name == "search":
        yield from (f"{flag}={each}" for each in _searches(value))
    elif name == "rungs" and not isinstance(value, str):
        yield f"{flag}={','.join(map(str, value))}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from (flag, *map(str, value))
    else:
        # As one word, so that the value may begin with a hyphen.
        yield f"{flag}={value}"


def _searches(value: Mapping[str, Any] | Sequence[str]) -> Iterator[str]:
    """
    >>> list(_searches({"model.depth": [18, 50], "augment.blur": "0..0.5"}))
    ['model.depth=18,50', 'augment.blur=0..0.5']
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for field, each in value.items():
            is_list = isinstance(each, Sequence) and not isinstance(each, str)
            yield f"{field}={','.join(map(str, each)) if is_list else each}"
    else:
        yield from value
