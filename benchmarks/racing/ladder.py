"""What does the ladder save, and does it still find the best recipe? Replay searches with and without it.

    python -m benchmarks.racing.ladder [--quick] [--only TEXT] [--processes 2] [--json]

Searches run in simulated time on recorded, resampled, public and generated learning curves. Their cost is the device
time of all workers, including work in flight, until their choice stays within half a point of the highest visible
score. With and without the ladder, the search is the project's own: its schedule, its race, its ladder. Others complete
every recipe, drop two thirds after one epoch, or are stock Ray Tune with the best of many settings, chosen on other
tables; oracles know the winner. Every table is replayed with random proposals, and once with each search's own sampler.

A table whose files are not here is skipped by name. The public curves lie in LEUKEMIA_DATA/curves; the record over a
long schedule is made by benchmarks.racing.record_rungs. With --quick, one table of each kind and fewer seeds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from leukemia.base.errors import SUCCESS, UserError, run_command

HERE = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> int:
    """Replay all searches on all tables, write a file for each kind of table, print where they are."""
    arguments = _parser().parse_args(argv)
    if arguments.processes < 1:
        raise UserError(f"--processes: expected 1 or more, got {arguments.processes}")
    # Optuna and PyTorch take seconds to import, and --help does not need them.
    from benchmarks.racing.laddering.cell import FULL, QUICK, run_table
    from benchmarks.racing.laddering.headline import headline_bias
    from benchmarks.racing.laddering.outputs import Outputs
    from benchmarks.racing.laddering.tables import all_tables, quick_tables
    from benchmarks.racing.replaying.replays import Pool

    effort, tables = (QUICK, quick_tables()) if arguments.quick else (FULL, all_tables())
    chosen = [worlds for worlds in tables if arguments.only in worlds.name]
    if not chosen:
        known = "; ".join(worlds.name for worlds in tables)
        raise UserError(f"--only: expected a part of the name of a table ({known}), got {arguments.only!r}")
    command = f"python -m benchmarks.racing.ladder {shlex.join(sys.argv[1:] if argv is None else argv)}".strip()
    outputs, pool = Outputs(arguments.results, command, effort), Pool(arguments.processes)
    for worlds in chosen:
        reason = worlds.missing()
        if reason is not None:
            print(f"{worlds.name}: skipped, {reason}", flush=True)
            continue
        for cell, results in run_table(worlds, effort, pool).items():
            print(outputs.add(cell, results), flush=True)
    print(*outputs.paths, sep="\n")
    if arguments.json:
        summary = {"tables": outputs.summary, "headline_bias": headline_bias(effort.studies)}
        print(json.dumps(summary, allow_nan=False))
    return SUCCESS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 minutes instead of 40, on two cores")
    parser.add_argument("--only", metavar="TEXT", default="", help="only tables with this text in their name")
    parser.add_argument("--processes", type=int, default=2, help="processes that run replays (default: 2)")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="output folder (default: results/)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line, with the headline's bias"
    )
    return parser


if __name__ == "__main__":
    run_command(main)
