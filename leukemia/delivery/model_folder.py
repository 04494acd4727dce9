"""The folder of a delivered model: weights, recipe, metrics, predictions, model card and report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
from torch import nn

from leukemia.base.files import atomic, write_text
from leukemia.base.record import read_record, write_record
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.images import open_images
from leukemia.data.view import view_of
from leukemia.delivery.appearance import Appearance
from leukemia.delivery.card import card_of
from leukemia.delivery.caveats import kept_on_training
from leukemia.delivery.delivery import Delivery, Difference
from leukemia.delivery.evaluation import Evaluation
from leukemia.delivery.loading import Existing
from leukemia.delivery.model_page import write_model_page
from leukemia.delivery.out_of_fold import OutOfFold
from leukemia.delivery.replacement import replacing
from leukemia.delivery.results import all_tested, keep_results, make_way, name_for
from leukemia.delivery.seen import Seen
from leukemia.plugins.registry import file_of
from leukemia.study import layout
from leukemia.study.decision import Decision
from leukemia.study.epochs import write_epochs
from leukemia.study.model_metrics import MetricsRecord
from leukemia.training.model import save_model


def write_model(
    folder: Path, model: nn.Module, recipe: Recipe, epochs: pd.DataFrame, training: Catalog, seen: Seen
) -> None:
    """Write the files that depend on the training alone; ``epochs`` has the fields of ``Epoch``."""
    save_model(model, folder / layout.WEIGHTS)
    recipe.save(folder / layout.RECIPE)
    for _, sha256 in recipe.plugins:
        file = file_of(sha256)
        assert file is not None, "a model has been trained without its plug-in"
        file.write(folder / layout.PLUGINS)
    write_epochs(folder / layout.EPOCHS, epochs)
    seen.write(folder)
    Appearance.of(open_images(training, view_of(recipe)), training.sizes).write(folder)


def write_results(folder: Path, delivery: Delivery) -> None:
    """Write the other files to a folder that has those of ``write_model``; the record is last."""
    write_record(folder / layout.METRICS, delivery.metrics())
    if delivery.evaluation is not None:
        with atomic(folder / layout.PREDICTIONS) as temporary:
            delivery.evaluation.predictions().to_csv(temporary, index=False)
    write_model_page(folder, delivery)
    if delivery.test_name:
        keep_results(folder, delivery.test_name, delivery.record)
    write_text(folder / layout.CARD, card_of(folder, delivery, all_tested(folder)))
    delivery.record.write(folder)


def add_results(
    existing: Existing,
    recipe: Recipe,
    epochs: pd.DataFrame,
    decision: Decision,
    *,
    out_of_fold: OutOfFold | None,
    test: Path | None,
    evaluation: Evaluation | None,
    difference: Difference | None,
    command: str,
) -> Delivery:
    """Add the results on a test set to the folder of a delivered model, which the caller has ``claimed``.

    Args:
        decision: of the model from now on. Results on other test sets keep that with which they were scored.
        out_of_fold: the search's scores; None for those that the folder has, which may be of an earlier version.
        test: the location of the test set, after which its results are named; None to write only what does not depend
            on one. Results on the latest test set then remain in their own folder.
        command: the command line, for provenance.

    Raises:
        UserError: the model's metrics are damaged.
    """
    existing.record.check_files(existing.folder, [layout.METRICS])
    metrics = read_record(MetricsRecord, existing.folder / layout.METRICS)
    record = dataclasses.replace(existing.record, decision=decision, evaluation=None)
    delivery = Delivery(
        recipe=recipe,
        epochs=epochs,
        record=record if evaluation is None else record.evaluated(evaluation.catalog, str(test), command),
        out_of_fold=OutOfFold.from_dict(metrics.out_of_fold) if out_of_fold is None else out_of_fold,
        training_caveats=kept_on_training(metrics),
        test_name="" if test is None else name_for(test),
        evaluation=evaluation,
        difference=difference,
    )
    with replacing(existing.folder, keep=True) as new:
        make_way(new, existing.record, "" if evaluation is None else evaluation.catalog.fingerprint)
        write_results(new, delivery)
    return delivery
