"""What a model is compared with on a test set: the retrained starting recipe, or an ensemble with the single model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from leukemia.base.errors import UserError, listed
from leukemia.delivery.delivery import Difference
from leukemia.delivery.evaluation import Evaluation, predict_test_set
from leukemia.delivery.inputs import Inputs
from leukemia.delivery.loading import Existing, find_existing
from leukemia.delivery.messages import print_line
from leukemia.delivery.replacement import free_name
from leukemia.delivery.retraining import retrain
from leukemia.delivery.training_run import TrainingRun
from leukemia.study import layout
from leukemia.study.models import is_model, model_folder
from leukemia.training.inference import model_to_device


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The other model of a delivery, if there is one."""

    console: Console
    inputs: Inputs
    with_start: bool
    """Whether it is the starting recipe, retrained."""

    single: Existing | None
    """The single model beside an ensemble, which is compared with it if the test images have labels."""

    @classmethod
    def prepared(
        cls, console: Console, inputs: Inputs, *, with_start: bool, replace: bool, deliver_single: Callable[[], None]
    ) -> Comparison:
        """Find the single model; if an ensemble is compared with it and it is not there, deliver it.

        Args:
            replace: whether another model in its folder is replaced.
            deliver_single: delivers it.

        Raises:
            UserError: another model is in its folder, and is not to be replaced.
        """
        single = find_single(inputs, replace=replace)
        if single is None and inputs.has_single:
            print_line(console, f"first the single model, with which the ensemble is compared: {layout.FINAL}/")
            deliver_single()
            print_line(console, f"now the ensemble: {inputs.folder.name}/")
            single = find_single(inputs, replace=False)
        return cls(console=console, inputs=inputs, with_start=with_start, single=single)

    def difference(self, evaluation: Evaluation | None) -> Difference | None:
        """The model minus the other one on the test set; None without another one."""
        if evaluation is None or not (self.with_start or self.inputs.has_single):
            return None
        return self._to_start(evaluation) if self.with_start else self._to_single(evaluation)

    def _to_start(self, evaluation: Evaluation) -> Difference:
        """Retrain trial 0's recipe the same way."""
        inputs, start = self.inputs, self.inputs.start
        print_line(self.console, f"starting recipe, trial 0000: {start.describe()}")
        model, _ = retrain(self.console, inputs.study, TrainingRun(recipe=start), inputs.catalog, inputs.device)
        probabilities = predict_test_set(model, start, evaluation.catalog, inputs.device)
        return "the starting recipe (trial 0000) retrained", evaluation.difference(probabilities)

    def _to_single(self, evaluation: Evaluation) -> Difference:
        assert self.single is not None
        model = model_to_device(self.single.model, self.inputs.device)
        probabilities = predict_test_set(model, self.inputs.recipe, evaluation.catalog, self.inputs.device)
        return f"the single model ({self.single.folder.name}/)", evaluation.difference(probabilities)


def find_single(inputs: Inputs, *, replace: bool) -> Existing | None:
    """The single model beside an ensemble, in ``final/``; None if it is not there, or of no use.

    Args:
        replace: as of ``Comparison.prepared``.

    Raises:
        UserError: the ensemble is compared with it, and another model is there, which is not to be replaced.
    """
    ensemble, folder = inputs.record.ensemble, model_folder(inputs.study, layout.FINAL)
    is_member = ensemble is not None and ensemble.kind == "seeds" and is_model(folder)
    if not (inputs.has_single or is_member):
        return None
    existing, differences = find_existing(folder, inputs.recipe, dataclasses.replace(inputs.record, ensemble=None))
    if inputs.has_single and differences and not replace:
        raise UserError(
            f"{folder} does not have the single model that the ensemble is compared with; add --replace, which moves "
            f"it to {free_name(folder).name}, or leave out --test:\n{listed(differences)}"
        )
    return existing
