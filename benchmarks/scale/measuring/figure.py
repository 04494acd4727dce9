"""Plot the driver's time, the idle share of the workers and Optuna's suggestion time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from leukemia.base.files import atomic
from leukemia.reporting.canvas import BLUE, DPI, GREEN, GREY, INK, ORANGE, PURPLE, SKY

CALLS = {
    "begin": ("start a trial", BLUE, "o"),
    "ask": ("of which Optuna", SKY, "s"),
    "end": ("end a trial", ORANGE, "v"),
    "foldresult": ("record a fold", GREEN, "D"),
    "epoch": ("record an epoch", PURPLE, "^"),
}
"""The calls drawn, with label, colour and marker; they differ in shape as well as in colour."""

LIMIT_MS = 100
"""Target for the time of a suggestion with 2,000 finished trials."""


def draw_scale(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw three panels of the measurements of ``sleeping_search``, one run per number of workers, ascending."""
    figure = Figure(figsize=(13.2, 4.3), dpi=DPI, layout="constrained", facecolor="white")
    calls, idle, asks = (_style(axes) for axes in figure.subplots(1, 3))
    _draw_calls(calls, runs)
    _draw_idle(idle, runs)
    _draw_asks(asks, runs[-1])
    with atomic(path) as temporary:
        # Without matplotlib's version in the file, equal pictures are equal files.
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _draw_calls(axes: Axes, runs: Sequence[dict[str, Any]]) -> None:
    workers = [run["workers"] for run in runs]
    for kind, (label, colour, marker) in CALLS.items():
        median, high = ([run["calls"][kind][name] for run in runs] for name in ("median", "p95"))
        axes.plot(workers, median, color=colour, marker=marker, markersize=6, linewidth=1.8, label=label)
        axes.vlines(workers, median, high, color=colour, linewidth=1.2, alpha=0.55)
    axes.set(yscale="log", ylabel="ms per call")
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    _title(axes, "the driver: median, line up to the 95 % quantile")
    _workers_axis(axes, workers)
    bottom, top = axes.get_ylim()
    # Room for the legend above the curves.
    axes.set_ylim(bottom, top * 8)
    axes.legend(frameon=False, fontsize=8.5, ncols=2, loc="upper left", labelcolor=INK)


def _draw_idle(axes: Axes, runs: Sequence[dict[str, Any]]) -> None:
    workers = [run["workers"] for run in runs]
    shares = [100 * run["idle"] for run in runs]
    axes.plot(workers, shares, color=BLUE, marker="o", markersize=7, linewidth=2)
    for count, share in zip(workers, shares, strict=True):
        axes.annotate(
            f"{share:.1f} %",
            (count, share),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            color=INK,
            weight="bold",
            # Hides the line to a higher neighbour.
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    axes.set(ylabel="idle, % of the workers' time", ylim=(0, max(1.0, 1.35 * max(shares))))
    _title(axes, "workers, all running")
    _workers_axis(axes, workers)


def _draw_asks(axes: Axes, run: dict[str, Any]) -> None:
    finished, median, high, cpu = zip(*run["ask_series"], strict=True)
    axes.axhline(LIMIT_MS, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(
        f"{LIMIT_MS} ms",
        (0.01, LIMIT_MS),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=9,
        color=GREY,
    )
    axes.fill_between(finished, median, high, color=BLUE, alpha=0.15, linewidth=0, label="up to the 95 % quantile")
    axes.plot(finished, median, color=BLUE, linewidth=2, label="median wall-clock time")
    axes.plot(finished, cpu, color=ORANGE, linewidth=1.8, linestyle="-.", label="median CPU time")
    axes.set(xlabel="trials finished before", ylabel="ms per suggestion", xlim=(0, None))
    axes.set_ylim(0, 1.45 * max(LIMIT_MS, max(median)))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    _title(axes, f"Optuna's suggestions, {run['workers']} workers")
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", labelcolor=INK)


def _workers_axis(axes: Axes, workers: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set(xlabel="workers", xlim=(workers[0] / 1.6, workers[-1] * 1.6))
    axes.xaxis.set_major_locator(FixedLocator(list(workers)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))


def _plain(value: float, position: int) -> str:
    return f"{value:,.10g}"


def _title(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")


def _style(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    return axes
