"""The tables on which searches are replayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.racing.laddering.cell import Worlds
from benchmarks.racing.laddering.generated import Generated
from benchmarks.racing.laddering.long import Long
from benchmarks.racing.laddering.public import Public
from benchmarks.racing.laddering.recorded import Recorded

HERE = Path(__file__).resolve().parents[1]
LONG, OLD = HERE / "recorded_long", HERE / "recorded"

TUNING_TASKS = (
    "patch128_LSTM128_avg_bs64",
    "patch128_LSTM128_embed128_bs64",
    "patch32_IRNN64_relu_last_bs128",
    "patch32_LSTM128_E128_bs128",
    "patch32_VRNN128_tanh_bs128",
    "patch32_VRNN64_tanh_avg_bs128",
)

FEW, MOST = (2, 8, 32), (2, 4, 8, 32)
"""Numbers of workers."""

LONG_50 = Long(folder=LONG, num_recipes=50, workers=MOST, own_workers=4)
OLD_40 = Recorded(folder=OLD, workers=FEW)
LSTM = Public(label="LSTM", task="patch128_LSTM128_bs64", tuning_tasks=TUNING_TASKS, workers=FEW)
GENERATED_200 = Generated(num_recipes=200, rho=0.6, num_epochs=40, workers=FEW)
GENERATED_50 = Generated(num_recipes=50, rho=0.8, num_epochs=30, workers=MOST)
WORST = Generated(num_recipes=50, rho=-0.3, num_epochs=4, workers=FEW)
"""Early epochs are misleading, and there are few of them."""


def all_tables() -> list[Worlds]:
    """The tables of the full benchmark."""
    return [
        Long(folder=LONG, workers=FEW),
        LONG_50,
        Long(folder=LONG, num_recipes=200, workers=FEW),
        OLD_40,
        Recorded(folder=OLD, num_recipes=200, workers=FEW),
        LSTM,
        Public(label="GRU", task="patch32_GRU128_bs128", tuning_tasks=TUNING_TASKS, workers=FEW),
        *(replace(GENERATED_200, rho=rho) for rho in (0.9, 0.6, 0.3, 0.0)),
        *(replace(GENERATED_50, num_recipes=num, rho=rho) for num in (50, 24) for rho in (0.8, 0.3)),
        WORST,
    ]


def quick_tables() -> list[Worlds]:
    """One table of each kind, with one number of workers."""
    return [
        replace(LONG_50, workers=(4,)),
        replace(OLD_40, workers=(8,)),
        replace(LSTM, workers=(8,)),
        replace(GENERATED_200, workers=(8,)),
        replace(GENERATED_50, workers=(4,)),
        replace(WORST, workers=(8,)),
    ]
