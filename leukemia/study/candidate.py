"""The predictions of one complete trial with all its seeds, as the scoring functions take them."""

from __future__ import annotations

import numpy as np

from leukemia.scoring.selection import Candidates
from leukemia.study.folder import Study
from leukemia.study.table import finished_seeds


def candidate_of(study: Study, number: int) -> Candidates:
    """A complete trial as the only candidate; its seeds are as ``finished_seeds``.

    Raises:
        UserError: predictions are missing or invalid.
    """
    tables = [study.out_of_fold(number, seed) for seed in finished_seeds(study, number)]
    first = tables[0]
    return Candidates(
        labels=first["label"].to_numpy(dtype=np.int64),
        groups=first["image_id" if study.info.protocol == "random-cell" else "group"].tolist(),
        folds=first["fold"].to_numpy(dtype=np.int64),
        probabilities=[np.stack([table["probability_leukemic"].to_numpy(dtype=float) for table in tables])],
    )
