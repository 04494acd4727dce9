"""The colours of pages and figures in the light and the dark scheme, and the style of all figures.

Figures name their colours as CSS variables, which the page defines for both schemes: a figure follows the scheme of the
browser, and is printed in the light one, without being drawn again.
"""

from __future__ import annotations

import re
from typing import Any

_COLOURS: dict[str, tuple[str, str]] = {
    "page": ("#f5f6f8", "#14171c"),
    "card": ("#ffffff", "#1d2128"),
    "ink": ("#1d2430", "#e5e9f0"),
    "soft": ("#5b6472", "#9aa4b2"),
    "line": ("#e1e4e9", "#333a45"),
    "accent": ("#0072b2", "#6cb6e8"),
    # Colour-blind safe: Okabe & Ito (2008), "Color Universal Design"; lighter on dark ground.
    "blue": ("#0072b2", "#4ba3dd"),
    "orange": ("#d55e00", "#f2894a"),
    "green": ("#009e73", "#34c59b"),
    "sky": ("#56b4e9", "#a6dbfa"),
    "purple": ("#cc79a7", "#e6a6c8"),
    "grey": ("#8a8a8a", "#8d96a3"),
    "pale": ("#dddddd", "#444c58"),
    # From low to high scores: away from the ground in both schemes, so that the best trials stand out.
    "score-1": ("#c9d6e3", "#34485e"),
    "score-2": ("#a3c1de", "#3d658c"),
    "score-3": ("#72a8d3", "#4a87b9"),
    "score-4": ("#3f89c1", "#6aaadb"),
    "score-5": ("#1d669f", "#98ccf1"),
    "score-6": ("#0a3c6b", "#dcf0ff"),
}
"""Colour on light and on dark ground by name."""

INK, SOFT, LINE = "var(--ink)", "var(--soft)", "var(--line)"
BLUE, ORANGE, GREEN = "var(--blue)", "var(--orange)", "var(--green)"
SKY, PURPLE, GREY, PALE, CARD = "var(--sky)", "var(--purple)", "var(--grey)", "var(--pale)", "var(--card)"
SCORES = [f"var(--score-{step})" for step in range(1, 7)]
"""From low to high scores, in steps: variables cannot be interpolated."""

# Fonts of the same widths: what is drawn without a browser is as wide as in one.
_FONT = "Arial, Helvetica, Liberation Sans, sans-serif"

CONFIG: dict[str, Any] = {
    "font": _FONT,
    "view": {"stroke": None},
    "mark": {"aria": False},
    "axis": {
        "aria": False,
        "labelColor": INK,
        "labelFontSize": 11,
        "labelLimit": 260,
        "titleColor": SOFT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": LINE,
        "domainColor": GREY,
        "tickColor": GREY,
        "tickSize": 4,
    },
    "axisX": {"labelOverlap": "greedy", "labelSeparation": 6},
    "legend": {
        "aria": False,
        "orient": "top",
        "direction": "horizontal",
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 280,
        "titleColor": SOFT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gradientStrokeColor": LINE,
        "symbolStrokeWidth": 2,
        "columnPadding": 14,
    },
    "title": {
        "aria": False,
        "anchor": "start",
        "frame": "bounds",
        "color": INK,
        "fontSize": 13,
        "fontWeight": 600,
        "offset": 10,
        "subtitleColor": SOFT,
        "subtitleFontSize": 12,
    },
}
"""Vega-Lite's configuration of all figures."""


def css() -> str:
    """The variables of both schemes; paper is always light."""
    light, dark = (" ".join(f"--{name}: {pair[scheme]};" for name, pair in _COLOURS.items()) for scheme in (0, 1))
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def on_white(text: str) -> str:
    """A text with the colours of the light scheme instead of variables, for pictures that know no CSS.

    >>> on_white('{"color": "var(--ink)"}')
    '{"color": "#1d2430"}'
    """
    return re.sub(r"var\(--([a-z0-9-]+)\)", lambda match: _COLOURS[match[1]][0], text)
