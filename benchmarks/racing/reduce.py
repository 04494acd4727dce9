"""Copy a recorded table in a form small enough to ship.

python -m benchmarks.racing.reduce FOLDER TO [--even-seconds]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.racing.replaying.table import reduce_table
from leukemia.base.errors import SUCCESS, run_command


def main(argv: list[str] | None = None) -> int:
    """Reduce a table and print where the copy is and how large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a recorded table")
    parser.add_argument("to", type=Path, help="output folder")
    parser.add_argument(
        "--even-seconds",
        action="store_true",
        help="replace seconds that were recorded on a busy machine (see even_seconds in replaying/table.py)",
    )
    arguments = parser.parse_args(argv)
    reduce_table(arguments.folder, arguments.to, even=arguments.even_seconds)
    print(f"{arguments.to}: {sum(file.stat().st_size for file in arguments.to.iterdir()) / 1e6:.1f} MB")
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
