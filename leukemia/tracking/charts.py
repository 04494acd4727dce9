"""Charts for W&B's pages: the folds of a trial in one chart, predictions, importances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import wandb

from leukemia.config.results import Epoch, fold_name
from leukemia.data.classes import CLASSES
from leukemia.scoring.metrics import THRESHOLD
from leukemia.study import layout
from leukemia.tracking import client

CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
"""Values per epoch that are drawn, a chart each, with a line per fold."""


def curves(epochs: Mapping[int, Sequence[Epoch]]) -> dict[str, Any]:
    """The charts ``curves/NAME`` of the epochs of each fold; empty without epochs."""
    folds = sorted(epochs)
    if not folds:
        return {}
    return {
        f"curves/{name}": wandb.plot.line_series(
            xs=[[epoch.epoch for epoch in epochs[fold]] for fold in folds],
            ys=[[getattr(epoch, name) for epoch in epochs[fold]] for fold in folds],
            keys=[fold_name(fold) for fold in folds],
            title=name.replace("_", " "),
            xname="epoch",
            split_table=True,
        )
        for name in CURVES
    }


def predictions(table: pd.DataFrame) -> dict[str, Any]:
    """Table, confusion matrix and ROC curve of out-of-fold predictions.

    Args:
        table: ``Study.out_of_fold``, with or without names.
    """
    table = table.assign(predicted=(table["probability_leukemic"] >= THRESHOLD).astype(int))
    probabilities = table["probability_leukemic"].to_numpy(dtype=float)
    labels = table["label"].to_numpy(dtype=int)
    found = {
        "out_of_fold": client.frame(table),
        "confusion_matrix": wandb.plot.confusion_matrix(
            y_true=labels.tolist(),
            preds=table["predicted"].tolist(),
            class_names=list(CLASSES),
            split_table=True,
        ),
    }
    if len(np.unique(labels)) == 2:
        both = np.stack([1 - probabilities, probabilities], axis=1)
        found["roc"] = wandb.plot.roc_curve(labels, both, labels=list(CLASSES), split_table=True)
    return found


def importances(values: Mapping[str, float]) -> dict[str, Any]:
    """One bar chart of all importances, the highest first; empty without importances.

    Args:
        values: share of the score's variance by recipe field, 0..1.
    """
    if not values:
        return {}
    ranked = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    table = client.frame(pd.DataFrame(ranked, columns=["field", "importance"]))
    title = "importance of recipe fields for the score"
    return {"importances": wandb.plot.bar(table, "field", "importance", title=title, split_table=True)}


def pictures(folder: Path) -> dict[str, Any]:
    """The pictures ``report/NAME`` of the report in a folder; any other picture there is the user's own.

    Without the contact sheet: many images of patients, as they are.
    """
    sent = layout.REPORT_FILES - {layout.CONTACT_SHEET}
    found = sorted(path for path in folder.glob(layout.PICTURES) if path.name in sent)
    return {f"report/{path.stem}": client.image(path) for path in found}
