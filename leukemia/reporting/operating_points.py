"""Tables of thresholds and of calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leukemia.scoring.calibration import CALIBRATION, Calibration
from leukemia.scoring.metrics import Interval
from leukemia.scoring.operating_points import RATES, OperatingPoint
from leukemia.scoring.thresholds import YOUDEN, is_fixed

_NAMES = {"ppv": "PPV", "npv": "NPV", "nll": "negative log-likelihood", "brier": "Brier score"}


def thresholds_table(points: Sequence[OperatingPoint], used: str, prevalence: float | None) -> list[tuple[str, ...]]:
    """A row per threshold, below a header; predictive values are there twice if a prevalence is stated.

    Args:
        points: at least one.
        used: rule of the model's threshold.
        prevalence: as stated; None if none is.
    """
    rates = [*RATES, *(("ppv_at", "npv_at") if prevalence is not None else ())]
    header = [_NAMES.get(name, name) for name in RATES]
    if prevalence is not None:
        header += [f"{_NAMES[name]} at {100 * prevalence:.3g} % leukemic" for name in ("ppv", "npv")]
    rows = [
        (_rule(each.rule, used), f"{each.threshold:.3g}", *(_cell(getattr(each, name)) for name in rates))
        for each in points
    ]
    return [("chosen by", "threshold", *header), *rows]


def calibration_table(calibration: Calibration) -> list[tuple[str, ...]]:
    """A row per score of the probabilities, below a header, before and after temperature scaling."""
    rows = [
        (
            _NAMES.get(name, name.replace("_", " ")),
            _cell(calibration.before[name]),
            _cell(calibration.after[name]),
        )
        for name in CALIBRATION
    ]
    return [("score", "before scaling", f"after (temperature {calibration.temperature:.2f})"), *rows]


def _rule(rule: str, used: str) -> str:
    name = "fixed" if is_fixed(rule) else "Youden" if rule == YOUDEN else rule.replace("=", " ")
    return f"{name} (used)" if rule == used else name


def _cell(interval: Interval | None) -> str:
    if interval is None or math.isnan(interval.value):
        return "undefined"
    if math.isnan(interval.low):
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
