"""A delivered model, loaded to be used: it classifies new images, and is scored on test sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from leukemia.base import interrupts, progress
from leukemia.base.checksums import sha256_of
from leukemia.base.errors import UserError, listed
from leukemia.base.record import read_record
from leukemia.data.reading import DEFAULT, Reading
from leukemia.data.survival import viewed
from leukemia.data.view import view_of
from leukemia.delivery.appearance import Appearance
from leukemia.delivery.caveats import kept_verdicts
from leukemia.delivery.choice import Choice
from leukemia.delivery.evaluation import Evaluation, describe_broken, evaluate, read_test_set
from leukemia.delivery.explanation import Explanation
from leukemia.delivery.image_list import Given, NewImage, columns_of, images_of
from leukemia.delivery.loading import load_delivered
from leukemia.delivery.new_images import Look, look_at, notes_on, read_views
from leukemia.delivery.out_of_fold import OutOfFold
from leukemia.delivery.overlap import HeldOut, Rule, compare
from leukemia.delivery.seen import Seen
from leukemia.plugins.registry import check_files, load_named
from leukemia.study import layout
from leukemia.study.decision import Decision
from leukemia.study.ensemble import describe_model
from leukemia.study.model_metrics import MetricsRecord
from leukemia.study.models import ModelRecord
from leukemia.training.device import choose_device, use_threads
from leukemia.training.gradcam import relevance
from leukemia.training.inference import NonFiniteProbabilities, model_to_device, predict_views

log = logging.getLogger(__name__)


class DeliveredModel:
    """A model in a folder that ``leukemia.final`` has written; ``leukemia.load`` returns it.

    ``recipe`` has all settings of its training, and ``record`` what it was trained from.
    """

    def __init__(self, folder: Path, device: str = "auto", plugins: Sequence[Path] = ()) -> None:
        """Load the model; no pickle is run, and no plug-in but those that are named.

        Args:
            folder: such as ``runs/STUDY/final``.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            plugins: files that are run, for a model whose network is that of a plug-in.

        Raises:
            MissingFile: the folder lacks the recipe or the weights.
            UserError: a file is damaged, or the device is not available; or the network is that of a plug-in that is
                not named, or of another text.
        """
        files = load_named(plugins)
        network, self.recipe = load_delivered(folder)
        check_files(files, self.recipe, "the model")
        self.folder, self.device = folder, choose_device(device)
        use_threads(None)
        self.network = model_to_device(network, self.device)
        # Each is None if an earlier version delivered the model.
        self.record = ModelRecord.read(folder)
        self.seen = Seen.read(folder)
        self.appearance = Appearance.read(folder)

    def __repr__(self) -> str:
        ensemble = None if self.record is None else self.record.ensemble
        return f"<model {self.folder}: {describe_model(self.recipe, ensemble)}, on {self.device.type}>"

    @property
    def decision(self) -> Decision:
        """The model's threshold, how it was chosen, and the temperature that its probabilities are scaled with."""
        return Decision() if self.record is None else self.record.decision

    @property
    def threshold(self) -> float:
        """An image is called leukemic if its probability is at least this, in 0..1."""
        return self.decision.threshold

    def choice(self, prevalence: float | None) -> Choice:
        """The thresholds at which the model is judged on a test set; ``prevalence`` as of ``Choice``."""
        has_metrics = (self.folder / layout.METRICS).is_file()
        found = OutOfFold.from_dict(self.metrics.out_of_fold) if has_metrics else None
        return Choice.of(self.decision, found, prevalence)

    @property
    def weights_sha256(self) -> str:
        """Of the file with the weights, in hexadecimal."""
        return sha256_of(self.folder / layout.WEIGHTS)

    @property
    def metrics(self) -> MetricsRecord:
        """``metrics.json`` as it is now: out-of-fold scores of the search, and those on the latest test set.

        Raises:
            UserError: the file is missing, damaged, or that of another model.
        """
        # Test sets may have been added since the model was loaded.
        if (record := ModelRecord.read(self.folder)) is not None:
            record.check_files(self.folder, [layout.METRICS])
        return read_record(MetricsRecord, self.folder / layout.METRICS)

    def predict(self, images: Given, *, skip: bool = False) -> pd.DataFrame:
        """Classify images, with the crop, the size and the test-time augmentation of the training.

        Args:
            images: one or more paths, of files, folders, CSVs of paths, or patterns such as ``cells/*.png``; or whole
                images as arrays, each uint8 (H, W, 3), RGB in 0..255.
            skip: leave out images that cannot be used, and name them in a warning, instead of raising an error.

        Returns:
            A row per image, in the given order: ``id`` (str; only if a CSV is given: what it calls the image), ``path``
            (str; of arrays ``image`` instead, their number from 0), ``probability_leukemic`` (float64 in 0..1: the mean
            over the views of test-time augmentation, scaled with the temperature of ``decision``), ``predicted``
            (int64: 1 leukemic, from ``threshold`` on, or 0 normal), ``spread`` (float64 in 0..1: the largest
            probability of a view minus the smallest, each scaled) and ``warning``
            (str: how the image is unlike the training images, see ``leukemia.delivery.appearance``; empty if it is
            not).

        Raises:
            UserError: images cannot be used; all are listed. With ``skip``, if none can. Or a probability is not
                finite.
        """
        return self.classify(images_of(images), skip=skip)

    def explain(self, images: Given, *, skip: bool = False) -> list[Explanation]:
        """Where the network looks: Grad-CAM, averaged over the views of test-time augmentation and the networks of an
        ensemble.

        The map of an image shows what speaks for its predicted class, at the deepest stage of the network that still
        has at least 7 x 7 cells. It shows where, not what: a map on the background is a reason to doubt the model, a
        map on the cell is no proof of it.

        Arguments and errors are as of ``predict``.

        Returns:
            One per image that can be used, in the given order.
        """
        chosen = [look.image for look in self._looks(images_of(images), skip=skip)]
        probabilities = self.decision.probabilities(self._predict_views(chosen).mean(axis=0))
        predicted = self.decision.classes(probabilities)
        found: list[Explanation] = []
        with progress.bar("explaining images", len(chosen)) as advance:
            for pixels in read_views(chosen, view_of(self.recipe)):
                interrupts.check()
                here = slice(len(found), len(found) + len(pixels))
                maps = self._relevance(pixels, predicted[here])
                for row, image, map_ in zip(range(here.start, here.stop), pixels, maps, strict=True):
                    found.append(
                        Explanation(
                            name=chosen[row].name,
                            pixels=image,
                            probability_leukemic=float(probabilities[row]),
                            predicted=int(predicted[row]),
                            relevance=map_,
                        )
                    )
                    advance()
        return found

    def classify(self, images: Sequence[NewImage], *, skip: bool) -> pd.DataFrame:
        """As ``predict``, for images whose paths have been looked up."""
        looks = self._looks(images, skip=skip)
        if self.appearance is None:
            log.warning(
                "%s has no %s, since an earlier version delivered it: images unlike its training images go unnoticed",
                *(self.folder, layout.APPEARANCE),
            )
        chosen = [look.image for look in looks]
        views = self._predict_views(chosen)
        probabilities = self.decision.probabilities(views.mean(axis=0))
        return pd.DataFrame(
            {
                **columns_of(chosen),
                "probability_leukemic": probabilities,
                "predicted": self.decision.classes(probabilities),
                "spread": np.ptp(self.decision.probabilities(views), axis=0),
                "warning": [look.warning(view_of(self.recipe)) for look in looks],
            }
        )

    def evaluate(
        self,
        data: str | Path,
        *,
        overlap: Rule = "refuse",
        reading: Reading = DEFAULT,
        prevalence: float | None = None,
    ) -> Evaluation:
        """Score the model on a test set; nothing is written but to the cache.

        Args:
            data: C-NMC test folder or its labels CSV, another CSV, or one folder per class.
            overlap: what happens to images that the model was trained on, or whose patients it was trained on:
                ``refuse`` the test set, ``drop`` them, or ``allow`` them, which the result's ``overlap`` then says.
            reading: how to read the data, with the options of the command line, such as
                ``Reading(classes=("normal=Benign", "leukemic=Early,Pre,Pro"))``.
            prevalence: share of leukemic cells, between 0 and 1, at which predictive values are computed as well.

        Raises:
            UserError: the test set is invalid, or has images of the training data.
        """
        held_out = self.held_out(Path(data), reading.base, reading, overlap)
        return evaluate(self.network, self.recipe, held_out, self.device, self.choice(prevalence))

    def held_out(self, data: Path, base: str | None, reading: Reading, overlap: Rule) -> HeldOut:
        """Read a test set, and compare it with the training data; arguments and errors as of ``evaluate``.

        Args:
            base: absolute path of the base folder for relative paths in a CSV; None: the folder of the CSV.
        """
        test = viewed(read_test_set(data, reading, self.recipe, base), view_of(self.recipe))
        if self.seen is None and self.record is not None and self.record.fingerprint == test.fingerprint:
            raise UserError(f"--test: {self.folder} was trained on this very test set; use other test data")
        return compare(self.recipe, self.seen, test, overlap)

    def _looks(self, images: Sequence[NewImage], *, skip: bool) -> list[Look]:
        """The images that can be used; notes on the model and on them are logged."""
        if (self.folder / layout.METRICS).is_file():
            for verdict in kept_verdicts(self.metrics):
                log.warning("%s", verdict)
        view = view_of(self.recipe)
        usable = _usable(look_at(images, view, self.appearance), skip=skip)
        for note in notes_on(usable, view):
            log.warning("%s", note)
        return usable

    def _relevance(self, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
        rows, tta = range(len(pixels)), self.recipe.evaluate.tta
        return relevance(self.network, self.recipe, pixels, rows, classes, device=self.device, tta=tta)

    def _predict_views(self, images: Sequence[NewImage]) -> np.ndarray:
        """The network's probabilities of class 1 in each view: float64 (V, n)."""
        parts: list[np.ndarray] = []
        with progress.bar("classifying images", len(images)) as advance:
            for pixels in read_views(images, view_of(self.recipe)):
                interrupts.check()
                rows, tta = range(len(pixels)), self.recipe.evaluate.tta
                try:
                    parts.append(
                        predict_views(
                            self.network, self.recipe, pixels, rows, device=self.device, tta=tta, is_exact=True
                        )
                    )
                except NonFiniteProbabilities as error:
                    names = [image.name for image in images[sum(part.shape[1] for part in parts) :]]
                    raise UserError(f"--model {self.folder}: {describe_broken(error, names)}") from None
                for _ in rows:
                    advance()
        return np.concatenate(parts, axis=1)


def _usable(looks: Sequence[Look], *, skip: bool) -> list[Look]:
    """The images that can be used; the others are an error, or with ``skip`` a warning."""
    problems = [f"{look.image.name}: {look.problem}" for look in looks if look.problem]
    usable = [look for look in looks if not look.problem]
    if problems and (not skip or not usable):
        raise UserError(f"{len(problems)} of {len(looks)} images cannot be used:\n{listed(problems)}")
    if problems:
        log.warning(
            "%d of %d images cannot be used, and are left out:\n%s", len(problems), len(looks), listed(problems)
        )
    return usable
