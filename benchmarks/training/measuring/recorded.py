"""Recorded figures, and how measured ones compare with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from leukemia.base.errors import UserError
from leukemia.base.files import read_json

RATIOS = ("adamw_over_limit", "ranger21_over_limit", "ranger21_over_adamw_limit", "over_plain")
"""Fields whose ratios are compared, by network and, for ``over_plain``, optimizer."""

TOLERANCE = 0.15
"""A ratio may be this share below its recorded value."""


def read_recorded(path: Path) -> dict[str, Any]:
    """The figures of a whole run.

    Raises:
        UserError: the file is missing, cannot be read, or has no such figures.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; write it with `python -m benchmarks.training.throughput --record`")
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(found.get(name), dict) for name in (*RATIOS, "machine")):
        raise UserError(f"{path}: expected the figures of a whole run; write it again with --record")
    return found


def losses(measured: dict[str, Any], recorded: dict[str, Any], path: Path) -> list[str]:
    """One line for each ratio that is more than ``TOLERANCE`` below its recorded value.

    Also notes on stderr if device, threads or precision differ, since ratios depend on them.

    Args:
        path: of the recorded figures.

    Raises:
        UserError: a measured ratio is not recorded.
    """
    for key in ("device", "threads", "precision"):
        here, there = (each["machine"].get(key) for each in (measured, recorded))
        if here != there:
            print(f"{path.name} was recorded with {key} {there}, this is {here}: ratios may differ", file=sys.stderr)
    lines = []
    for field in RATIOS:
        for name, ratio in measured[field].items():
            try:
                expected = float(recorded[field][name]["median"])
            except (KeyError, TypeError, ValueError):
                raise UserError(f"{path}: expected a ratio {field} of {name}; write it again with --record") from None
            if ratio["median"] < (1 - TOLERANCE) * expected:
                lines.append(
                    f"{field} of {name}: recorded {expected:.2f}, measured {ratio['median']:.2f}, "
                    f"{1 - ratio['median'] / expected:.0%} lower; at most {TOLERANCE:.0%} is accepted"
                )
    return lines
