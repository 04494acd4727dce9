"""The card of a delivered model, in Markdown (Mitchell et al., 2019, arXiv:1810.03993)."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from leukemia import CLASS_NAMES
from leukemia.base.printable import escaped
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data
from leukemia.delivery.results import HEADER, Tested

ALL_TESTS = (
    "All test sets that this model was scored on; reporting only the best of several would be too optimistic. Each has "
    "its folder in `tests/`."
)


def card(
    recipe: Recipe,
    *,
    verdicts: Sequence[str],
    quote: str,
    scored_on: str,
    sentences: Sequence[str],
    scores: Iterable[Sequence[str]],
    tested: Sequence[Tested],
    caveats: Iterable[str],
    provenance: Iterable[tuple[str, str]],
    decision: str,
    rates_on: str,
    thresholds: Sequence[Sequence[str]] | None,
) -> str:
    """The text of the card.

    Args:
        verdicts: sentences if the model is no better than a constant answer.
        quote: the score to quote; empty if there is none.
        scored_on: what the scores are of, such as ``on the test set``.
        sentences: about the test and comparisons, a paragraph each.
        scores: names and values with intervals.
        tested: all test sets.
        caveats: one sentence each.
        decision: threshold and temperature, as text.
        rates_on: what the rates of ``thresholds`` are of.
        thresholds: what thresholds are worth, the header first; None if that is not known.
        provenance: data, software and commands, as (item, value).
    """
    lines = [
        f"# {recipe.describe()}",
        "",
        *(line for each in verdicts for line in (f"**{each}**", "")),
        f"Classifies an image of a blood cell: 0 = normal (`{CLASS_NAMES[0]}`), 1 = leukemic (`{CLASS_NAMES[1]}`).",
        "A research model: not a medical device, not for diagnosis.",
        "",
        f"Input: {_describe_input(recipe.data)}.",
        "",
        "## Use",
        "",
        "    python -m leukemia.predict --model FOLDER IMAGES...",
        "    python -m leukemia.evaluate --model FOLDER --test DATA",
        "",
        *(["## Score to quote", "", f"{quote[0].upper()}{quote[1:]}.", ""] if quote else []),
        f"## Scores {scored_on}",
        "",
        sentences[0],
        "",
        *_table(("score", "value (95 % interval)"), scores),
        "",
        *(line for sentence in sentences[1:] for line in (sentence, "")),
        "## Threshold",
        "",
        f"An image is called {decision}.",
        "",
        *([] if thresholds is None else _compared(thresholds, rates_on)),
        *(["## Test sets", "", ALL_TESTS, "", *_table(HEADER, (each.row() for each in tested)), ""] if tested else []),
        "## Caveats",
        "",
        *(f"- {caveat}" for caveat in caveats),
        "- Not tested on stains, cameras and hospitals other than those of the training data.",
        "",
        "## Provenance",
        "",
        # Markdown passes HTML through, and a command may contain any text, such as line breaks.
        *(f"- {item}: {html.escape(escaped(value))}" for item, value in provenance),
        "",
    ]
    return "\n".join(lines)


def _compared(thresholds: Sequence[Sequence[str]], rates_on: str) -> list[str]:
    how = f"The thresholds were chosen out of fold; the rates, with 95 % intervals over patients, are {rates_on}."
    return [how, "", *_table(thresholds[0], thresholds[1:]), ""]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _describe_input(data: Data) -> str:
    gray, small = ", in gray" if data.grayscale else "", "padded with black" if data.small == "pad" else "refused"
    if data.crop_px is None:
        return f"whole images, scaled down to {data.size_px} px{gray}; smaller ones are {small}"
    return (
        f"one cell per image, at least {data.crop_px} px on each side, of which the central {data.crop_px} px are "
        f"used, resized to {data.size_px} px{gray}; smaller ones are {small}"
    )
