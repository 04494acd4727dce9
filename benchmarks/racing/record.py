"""Train recipes in full and record every epoch and prediction, as a table for ``benchmarks.racing.replay``.

python -m benchmarks.racing.record DATA FOLDER [--recipes 40] [--folds 5] [--seeds 2] [--images N]
                                   [--set FIELD=VALUE ...] [--workers N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia.base.errors import SUCCESS, UserError, run_command


def main(argv: list[str] | None = None) -> int:
    """Record a table and print where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder or CSV of the data")
    parser.add_argument("folder", type=Path, help="output folder; an interrupted record is resumed")
    parser.add_argument("--recipes", type=int, default=40, help="(default: 40)")
    parser.add_argument("--folds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--seeds", type=int, default=2, help="training seeds of each recipe (default: 2)")
    parser.add_argument("--images", type=int, help="size of a random subset of the images (default: all)")
    parser.add_argument("--set", dest="settings", metavar="FIELD=VALUE", action="append", default=[])
    parser.add_argument("--workers", type=int, default=1, help="processes that train (default: 1)")
    arguments = parser.parse_args(argv)
    for name in ("recipes", "folds", "seeds", "images", "workers"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name}: expected 1 or more, got {value}")
    # PyTorch takes seconds to import, and --help does not need it.
    from benchmarks.racing.replaying.recording import RecordSpec, record
    from leukemia.config.fields import parse_settings

    spec = RecordSpec(
        data=arguments.data,
        settings=parse_settings(arguments.settings),
        num_recipes=arguments.recipes,
        num_folds=arguments.folds,
        num_seeds=arguments.seeds,
        num_images=arguments.images,
    )
    record(spec, arguments.folder, arguments.workers)
    print(arguments.folder)
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
