"""Trials that do nothing but report, over images that nobody opens; and whether their runs are whole in W&B."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from wandb.util import get_core_path

from leukemia.base import provenance
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits, make_splits
from leukemia.scoring.metrics import point_scores
from leukemia.study.folder import Study
from search.policy.space import Space, make_space

NUM_WORKERS, NUM_FOLDS = 2, 2
NUM_REPORTS = 2 * NUM_FOLDS
"""Of a trial: an epoch and the fold itself, for each fold."""

NUM_SUBJECTS, IMAGES_PER_SUBJECT = 24, 12
"""As many as the sample set has: predictions are part of what is written and tracked."""

MEASURED = "measured.json"
"""What a side leaves in its folder."""


def made_up_catalog() -> Catalog:
    """Images that nobody opens, in subjects of one class each."""

    rows = [
        {
            "image_id": f"{subject:02d}_{image:02d}.bmp",
            "path": f"/nowhere/{subject:02d}_{image:02d}.bmp",
            "label": int(subject % 12 < 7),
            "subject": str(subject),
            "group": str(subject),
            "pixel_sha256": f"{subject:032x}{image:032x}",
            "width": 32,
            "height": 32,
        }
        for subject in range(NUM_SUBJECTS)
        for image in range(IMAGES_PER_SUBJECT)
    ]
    return Catalog(table=pd.DataFrame(rows), root=Path("/nowhere"), layout="csv", fingerprint="0" * 64, duplicates=())


def space() -> Space:
    """The default space."""
    settings = {"train.epochs": 1, "data.size_px": 32}
    return make_space(Recipe().with_settings(settings).resolved(32), settings)


def begin_study(folder: Path) -> tuple[Catalog, Splits, Study]:

    catalog = made_up_catalog()
    splits = make_splits(catalog, NUM_FOLDS, 0, "grouped")
    info = {
        "study_uid": "0be4ead0",
        "created": provenance.now(),
        "command": "python benchmarks/overhead.py",
        "folds": NUM_FOLDS,
        "seed": 0,
        "objective": "tta_accuracy",
        "protocol": splits.protocol,
        "data": {"uri": "nowhere", "fingerprint": catalog.fingerprint, "base": None, "subjects_from": None},
        "splits_sha256": splits.sha256(),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "hardware": provenance.hardware("cpu"),
    }
    return catalog, splits, Study.create(folder / "study", info)


def trial_runs(study: Study) -> list[Path]:
    """Folders of offline runs, of trials only; the winner's run is written a second time at the end."""
    return list((study.folder / "wandb").glob(f"*run-*-{study.info['study_uid']}-[0-9]*"))


def answers(
    number: int, seed: int, labels: Any, folds: Sequence[tuple[Any, Any]], skip: Sequence[int] = ()
) -> Iterator[tuple[Epoch, FoldResult]]:
    """What a trial reports of each fold: random answers, 85 % of them right."""

    for fold, (_, validation) in enumerate(folds):
        if fold in skip:
            continue
        generator = np.random.default_rng([number, fold])
        right = generator.random(len(validation)) < 0.85
        far = generator.uniform(0.5, 1.0, len(validation))
        probabilities = np.where(right == (labels[validation] == 1), far, 1 - far)
        found = point_scores(labels[validation], probabilities)
        epoch = Epoch(
            seed=seed,
            fold=fold,
            epoch=1,
            train_loss=float(generator.random()),
            train_accuracy=0.85,
            validation_loss=0.5,
            validation_accuracy=found["accuracy"],
            learning_rate=1e-3,
            seconds=1.0,
            images_per_second=100.0,
            device_memory_mb=0.0,
        )
        yield (
            epoch,
            FoldResult(
                seed=seed,
                fold=fold,
                rows=validation,
                probabilities=probabilities,
                scores={f"tta_{name}": score for name, score in found.items()} | {"plain_accuracy": found["accuracy"]},
                seconds=1.0,
                device="cpu",
                precision="float32",
            ),
        )


def num_whole(runs: Iterable[Path], num_rows: int) -> int:
    """How many different runs have their rows and their end, among folders of offline runs."""
    return len({run.name.rpartition("-")[2] for run in runs if _is_whole(run, num_rows)})


def _is_whole(run: Path, num_rows: int) -> bool:
    """Whether W&B's own reader finds the rows and the end of an offline run."""
    logs = list(run.glob("*.wandb"))
    if not logs:
        return False
    # What `wandb leet inspect` calls, without the second that Python takes to import W&B.
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(logs[0])]
    read = subprocess.run([*command, str(run.parent)], capture_output=True, text=True, check=True)
    kinds = [json.loads(line)["type"] for line in read.stdout.splitlines()]
    return kinds.count("history") >= num_rows and kinds.count("exit") == 1
