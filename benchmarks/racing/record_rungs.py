"""Train recipes over a long schedule and record how they do on the way, as a table for ``benchmarks.racing.ladder``.

python -m benchmarks.racing.record_rungs DATA FOLDER [--workers 2] [--size 48] [--training-images 240]

24 epochs of ResNet-18: fold 0 of 48 recipes, the other folds of the best 18 and of 6 others, and a second seed of 6.
Estimated: over two hours on two cores. An interrupted record keeps every finished fold; the same command goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia.base.errors import SUCCESS, UserError, run_command


def main(argv: list[str] | None = None) -> int:
    """Record and print where the tables are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder or CSV of the data")
    parser.add_argument("folder", type=Path, help="output folder; an interrupted record is resumed")
    parser.add_argument("--workers", type=int, default=2, help="processes that train, of one thread each (default: 2)")
    parser.add_argument("--size", type=int, default=48, help="side of the images in pixels (default: 48)")
    parser.add_argument("--training-images", type=int, default=240, help="of each fold (default: 240)")
    arguments = parser.parse_args(argv)
    for name in ("workers", "size", "training_images"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name.replace('_', '-')}: expected 1 or more, got {getattr(arguments, name)}")
    # PyTorch takes seconds to import, and --help does not need it.
    from benchmarks.racing.rungs.jobs import Extent
    from benchmarks.racing.rungs.record import RungSpec, record

    spec = RungSpec(
        data=arguments.data,
        extent=Extent(),
        settings={
            "model.depth": 18,
            "model.shortcut": "add",
            "data.size_px": arguments.size,
            "train.epochs": 24,
        },
        # Rungs at 5, 15 and 45 % of 24 epochs are 2, 4 and 11; the others are for rungs elsewhere.
        full=(2, 4, 6, 11, 16, 24),
        num_training=arguments.training_images,
        num_sample=60,
    )
    record(spec, arguments.folder, arguments.workers)
    print(arguments.folder)
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
