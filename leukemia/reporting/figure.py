"""A figure: one Vega-Lite specification for the live view, the static SVG and the PNG."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from leukemia.base.files import atomic
from leukemia.base.printable import escaped
from leukemia.reporting.theme import CONFIG, on_white

Rows: TypeAlias = Sequence[Mapping[str, Any]]
"""The data of a mark: an object per row; None where a value is missing."""

WIDE, NARROW, PANEL = 736, 326, 316
"""Width of a figure as wide as the text, of the same on a telephone, and of one of several side by side; in CSS pixels,
with axes and legend."""

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Version of Vega-Lite that Altair writes, such as 6.1."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of a page."""

    name: str
    """Unique in its page: lower-case letters, digits and hyphens."""

    caption: str
    chart: alt.Chart | alt.LayerChart | alt.FacetChart
    """Its data are named after keys of ``rows``."""

    rows: Mapping[str, Rows]
    height: int
    """In CSS pixels, with axes and legend."""

    is_wide: bool = True
    """Whether it is as wide as the text, not one of several panels side by side."""

    def spec(self, width: int) -> dict[str, Any]:
        """The Vega-Lite specification in JSON types; text of the data is escaped as in tables.

        Args:
            width: in CSS pixels, with axes and legend.
        """
        return {
            **self._chart,
            "background": None,
            "width": width,
            "height": self.height,
            "autosize": {"type": "fit", "contains": "padding"},
            "padding": 4,
            "config": CONFIG,
            "datasets": {name: [_escaped(row) for row in rows] for name, rows in self.rows.items()},
        }

    @functools.cached_property
    def _chart(self) -> dict[str, Any]:
        """What Altair makes of the chart, which it validates."""
        # Without the address of the schema, a page contains none; the configuration is that of Altair's theme.
        return {name: value for name, value in self.chart.to_dict().items() if name not in ("$schema", "config")}

    def json(self) -> str:
        """The specification at its widest, without white space."""
        return json.dumps(self.spec(WIDE if self.is_wide else PANEL), allow_nan=False, separators=(",", ":"))

    def svgs(self) -> dict[str, str]:
        """Static pictures by the name of their width: ``wide`` and ``narrow``, or ``panel``."""
        widths = {"wide": WIDE, "narrow": NARROW} if self.is_wide else {"panel": PANEL}
        return {width: self._svg(f"{self.name}-{width}", pixels) for width, pixels in widths.items()}

    def _svg(self, name: str, width: int) -> str:
        svg: str = vl_convert.vegalite_to_svg(self.spec(width), vl_version=VEGA_LITE)
        # Pictures in one page share their identifiers.
        return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg[svg.index("<svg") :])

    def write_png(self, path: Path) -> None:
        """Write the figure on white ground, twice as many pixels per inch as a plain screen has."""
        spec = json.loads(on_white(json.dumps({**self.spec(WIDE if self.is_wide else PANEL), "background": "white"})))
        with atomic(path) as temporary:
            temporary.write_bytes(vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=2))


def _escaped(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: escaped(value) if isinstance(value, str) else value for name, value in row.items()}


def data(name: str) -> alt.NamedData:
    """The rows of this name of the figure."""
    return alt.NamedData(name)
