"""Which sampler finds a better recipe, do rungs teach it anything, and do several starting recipes help?

    python -m benchmarks.racing.samplers [--worlds 14] [--seeds 200] [--quick] [--processes P] [--json]

Searches of 100 trials, 8 at a time, are simulated on random but plausible surfaces of the project's search space
(``benchmarks.racing.sampling.surface``) with the product's own samplers, with and without pausing. A table shows what
the choice lacks to the best recipe of a world once as many epochs are trained as 25, 50 and 100 complete trials have:
mean and standard error over worlds, and the difference to the present sampler in the same worlds with a 95 % bootstrap
interval. All trials complete in the end, so after 100 only the proposals matter.

Samplers that can choose among given recipes are also compared on the recorded table and on resampled tables of 200
recipes, over several seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.racing.replaying.replays import Pool, Source
from benchmarks.racing.sampling.search import BUDGETS, Arm, regrets, rung_correlations
from benchmarks.racing.sampling.tabled import SAMPLERS, budgets_of, table_regrets
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.study.schema import SamplerName

RECORDED = Path(__file__).resolve().parent / "recorded"

PRESENT: SamplerName = "tpe"
"""The sampler that others are compared with: the default."""

UNIVARIATE: SamplerName = "tpe-univariate"
RANDOM: SamplerName = "random"
SLOW: SamplerName = "gp"
"""Takes a minute for a search, where others take one or two seconds."""

ARMS = (
    # Slow ones first, so that no process works alone at the end.
    Arm(sampler=SLOW, pausing=True),
    Arm(sampler=SLOW, pausing=False),
    Arm(sampler=SLOW, pausing=False, variant="shared parameters only"),
    Arm(sampler=SLOW, pausing=False, variant="one process per optimizer"),
    *(Arm(sampler=sampler, pausing=pausing) for pausing in (True, False) for sampler in (PRESENT, UNIVARIATE, RANDOM)),
    *(
        Arm(sampler=sampler, pausing=pausing, num_starts=5)
        for pausing in (True, False)
        for sampler in (PRESENT, UNIVARIATE)
    ),
    Arm(sampler=PRESENT, pausing=True, learns=False),
    Arm(sampler=PRESENT, pausing=True, variant="expected results"),
    Arm(sampler=UNIVARIATE, pausing=True, learns=False),
    Arm(sampler=UNIVARIATE, pausing=True, variant="expected results"),
)

NUM_RESAMPLES = 2000

TABLES = {"recorded": None, "resampled": 200}
"""By name: the number of resampled recipes."""


def main(argv: list[str] | None = None) -> int:
    """Print a table for each way to search."""
    arguments = _parser().parse_args(argv)
    for name, least in (("worlds", 2), ("seeds", 2), ("processes", 1)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name}: expected {least} or more, got {getattr(arguments, name)}")
    start, pool = time.perf_counter(), Pool(arguments.processes)
    worlds, seeds = range(arguments.worlds), range(arguments.seeds)
    correlations = np.mean(pool.starmap(rung_correlations, [(world,) for world in worlds]), axis=0)
    shown = ", ".join(f"{each:.2f}" for each in correlations)
    print(f"{len(worlds)} worlds; mean rank correlation between a rung and the accuracy: {shown}", flush=True)
    arms = [arm for arm in ARMS if arm.sampler != SLOW or not arguments.quick]
    found = np.array(pool.starmap(regrets, [(arm, world) for arm in arms for world in worlds]))
    by_arm = dict(zip(arms, found.reshape(len(arms), len(worlds), len(BUDGETS)), strict=True))
    summary: dict[str, Any] = {"worlds": len(worlds), "rung_correlations": correlations.tolist()}
    for pausing, title in ((False, "without pausing"), (True, "with pausing")):
        summary[title] = _compared(title, BUDGETS, {arm.name: by_arm[arm] for arm in arms if arm.pausing == pausing})
    for name, num_recipes in TABLES.items():
        source = Source(RECORDED, num_recipes)
        on_table = np.array(pool.starmap(table_regrets, [(each, source, seed) for each in SAMPLERS for seed in seeds]))
        title = f"{name} table, {len(seeds)} seeds"
        by_sampler = dict(zip(SAMPLERS, on_table.reshape(len(SAMPLERS), len(seeds), -1), strict=True))
        summary[name] = _compared(title, budgets_of(source), by_sampler)
    print(f"{time.perf_counter() - start:.0f} s")
    if arguments.json:
        print(json.dumps(summary))
    return SUCCESS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=14, help="surfaces (default: 14)")
    parser.add_argument("--seeds", type=int, default=200, help="searches of each sampler on a table (default: 200)")
    parser.add_argument(
        "--quick", action="store_true", help="without the Gaussian process, which takes most of the time"
    )
    parser.add_argument("--processes", type=int, default=available_cpus(), help="default: all CPUs")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def _compared(title: str, budgets: Sequence[int], by_name: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Print a table of regrets, best first, and return its content.

    Args:
        by_name: float64 (worlds, budgets), in points.
    """
    heads = " | ".join(f"after {budget} | over {PRESENT}" for budget in budgets)
    print(f"\n{title}\n\n| sampler | {heads} |\n|---|{'---|---|' * len(budgets)}")
    content: dict[str, Any] = {}
    for name, values in sorted(by_name.items(), key=lambda item: float(item[1][:, -1].mean())):
        errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        over = [interval(difference) for difference in (values - by_name[PRESENT]).T]
        content[name] = {
            str(budget): {"regret": float(mean), "standard_error": float(error), "over_present": each}
            for budget, mean, error, each in zip(budgets, values.mean(axis=0), errors, over, strict=True)
        }
        cells = [
            f"{mean:.2f} ± {error:.2f} | " + ("–" if name == PRESENT else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]")
            for mean, error, (value, low, high) in zip(values.mean(axis=0), errors, over, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return content


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean of paired differences with a 95 % bootstrap interval."""
    draws = np.random.default_rng(0).integers(len(differences), size=(NUM_RESAMPLES, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)


if __name__ == "__main__":
    run_command(main)
