"""Do the journal, the study folder and the W&B runs of a study agree on every trial?

    python -m benchmarks.faults.agreement RUNS/STUDY

Reads the journal with Optuna's own API and the offline runs with ``wandb leet inspect``. Status 0 and a count if all
agree, status 1 and a line for each difference, status 2 if there is no study.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.faults.harness.records import differences
from leukemia.base.errors import FAILURE, SUCCESS, run_command
from leukemia.study.folder import Study


def main(argv: list[str] | None = None) -> int:
    """Compare the records of one study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a study folder")
    study = Study.open(parser.parse_args(argv).study)
    found = list(differences(study.folder))
    print("\n".join(found) or f"{len(study.trials())} trials agree in journal, study folder and W&B")
    return FAILURE if found else SUCCESS


if __name__ == "__main__":
    run_command(main)
