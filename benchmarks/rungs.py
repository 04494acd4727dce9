"""First rungs: fold 0 of every recipe under a shorter schedule that is complete in itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from leukemia.base.errors import UserError

RUNGS = "rungs.parquet"
"""Their file in a recorded table; not in every one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rungs:
    """What the rungs of a table's recipes predicted."""

    probabilities: np.ndarray
    """float32 (seeds, recipes, images of fold 0), of class 1; of seed 0 at least, for repeats run no rung."""

    share: float
    """Epochs of a rung over those of a fold, 0..1. As much of fold 0's seconds is what a rung is taken to cost."""

    def of_seed(self, seed: int) -> Rungs:
        """The same of one seed."""
        return replace(self, probabilities=self.probabilities[seed : seed + 1])


def read_rungs(folder: Path, shape: tuple[int, int, int], num_epochs: int) -> Rungs | None:
    """The rungs of a recorded table; None where it has none.

    The seconds of a record's rungs are not read: they may tell of other work on the machine, and are not in every
    record. A share of fold 0's takes the fold's end (precise BatchNorm, prediction under TTA) to be shorter, too, which
    it is not: it flatters the rung by a tenth of its cost or so.

    Args:
        shape: (seeds, recipes, images of fold 0) of the table.
        num_epochs: of a fold.

    Raises:
        UserError: rungs are missing, or have several lengths.
    """
    if not (folder / RUNGS).is_file():
        return None
    frame = pd.read_parquet(folder / RUNGS).sort_values(["seed", "recipe_id", "image_id"])
    epochs = frame["epochs"].unique()
    if len(frame) != np.prod(shape) or len(epochs) != 1:
        raise UserError(f"{folder / RUNGS}: expected one rung of (seeds, recipes, images) = {shape}; record them anew")
    probabilities = frame["probability_leukemic"].to_numpy(dtype=np.float32).reshape(shape)
    return Rungs(probabilities=probabilities, share=float(epochs[0]) / num_epochs)
