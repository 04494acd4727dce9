"""The table of all trials with their parameters, for the page and as CSV."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from leukemia.base.spreadsheet import cell_of
from leukemia.config.fields import FIELDS, all_fields
from leukemia.reporting.page import Cell, Download, Grid
from leukemia.reporting.parameters import Parameter
from leukemia.reporting.words import objective_name, value_text
from leukemia.study import layout
from leukemia.study.duration import duration
from leukemia.study.folder import Study
from leukemia.study.given_recipes import names_of
from leukemia.study.ledger import Ledger


def trials_grid(study: Study, trials: pd.DataFrame, ledger: Ledger, parameters: Sequence[Parameter], csv: str) -> Grid:
    """One row per trial: its result and the parameters in which trials differ.

    Args:
        trials: of the study, as ``trial_table``.
        parameters: as ``varied_parameters``.
        csv: as ``trials_csv``.
    """
    spent = ledger.table().set_index("trial").loc[trials["trial"]]
    has_repeats, has_f1 = bool((trials["seeds"] > 1).any()), study.objective != "tta_weighted_f1"
    names = names_of(study.info)
    rows = []
    for trial, (_, cost) in zip(trials.to_dict("records"), spent.iterrows(), strict=True):
        number = int(trial["trial"])
        seeds = [Cell(text=str(trial["seeds"]), value=trial["seeds"])] if has_repeats else []
        named = [Cell(text=names.get(number, "–"), value=names.get(number, ""))] if names else []
        took = "reused" if cost["taken_over"] else duration(cost["total"])
        rows.append(
            [
                Cell(text=trial["trial"], value=number),
                *named,
                _score(trial["score"]),
                Cell(text=trial["state"], value=trial["state"]),
                *([_score(trial["weighted_f1"])] if has_f1 else []),
                Cell(text=trial["folds"], value=int(trial["folds"].partition("/")[0])),
                *seeds,
                Cell(text=took, value=float(cost["total"])),
                *(_parameter(parameter.values.get(number)) for parameter in parameters),
                Cell(text=trial["reason"], value=trial["reason"]),
            ]
        )
    columns = [
        "trial",
        *(["recipe"] if names else []),
        objective_name(study.objective),
        "state",
        *(["weighted F1"] if has_f1 else []),
        "folds",
        *(["seeds"] if has_repeats else []),
        "device time",
        *(parameter.name for parameter in parameters),
        "reason",
    ]
    download = Download(name=layout.TRIALS_CSV, content=csv, has="all fields of all recipes")
    return Grid(columns=columns, rows=rows, example="complete depth=18", sorted_by=1 + bool(names), download=download)


def trials_csv(study: Study, trials: pd.DataFrame, ledger: Ledger) -> str:
    """One line per trial: its result, device seconds, and all fields of its recipe.

    Args:
        trials: of the study, as ``trial_table``.
    """
    seconds = ledger.table().set_index("trial")["total"].loc[trials["trial"]]
    recipes = [study.recipe(int(trial)).flat() for trial in trials["trial"]]
    names = names_of(study.info)
    table = pd.DataFrame(
        {
            "trial": trials["trial"],
            **({"recipe": [cell_of(names.get(int(trial), "")) for trial in trials["trial"]]} if names else {}),
            "state": trials["state"],
            study.objective: trials["score"],
            "weighted_f1": trials["weighted_f1"],
            "folds": [text.partition("/")[0] for text in trials["folds"]],
            "seeds": trials["seeds"],
            "device_seconds": seconds.to_numpy(),
            **{key: [_csv_cell(recipe.get(key)) for recipe in recipes] for key in _fields(recipes)},
            "reason": trials["reason"].map(_csv_cell),
        }
    )
    written = io.StringIO()
    table.to_csv(written, index=False, lineterminator="\n")
    return written.getvalue()


def _fields(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of every recipe, and of plug-ins those that one of these has."""
    return [key for key in all_fields() if key in FIELDS or any(key in recipe for recipe in recipes)]


def _score(score: float) -> Cell:
    return Cell(text="–", value="") if math.isnan(score) else Cell(text=f"{score:.3f}", value=score)


def _parameter(value: Any) -> Cell:
    if value is None:
        return Cell(text="–", value="")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(text=value_text(value), value=value if is_number else value_text(value))


def _csv_cell(value: Any) -> Any:
    return cell_of(value) if isinstance(value, str) else value
