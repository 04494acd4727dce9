"""How a delivered model turns a network's probabilities into its own, and these into classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from leukemia.scoring.bootstrap import THRESHOLD
from leukemia.scoring.calibration import tempered
from leukemia.scoring.thresholds import DEFAULT_RULE, is_fixed
from leukemia.study.field_types import Share


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A temperature and a threshold; the defaults are those of models that earlier versions delivered."""

    rule: str = DEFAULT_RULE
    """How the threshold was chosen, as of ``leukemia.scoring.thresholds.parse_rule``."""

    threshold: Share = THRESHOLD
    """An image is called leukemic if its probability, after scaling, is at least this."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Divides the log-odds of the network's probability; 1 changes nothing."""

    def probabilities(self, of_network: ArrayLike) -> NDArray[np.float64]:
        """The model's probabilities of class 1, in 0..1, from those of the network, of any shape."""
        return tempered(of_network, self.temperature)

    def classes(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """1 leukemic or 0 normal, from the model's probabilities."""
        return (probabilities >= self.threshold).astype(np.int64)

    def describe(self) -> str:
        """As text, without a full stop."""
        chosen = "fixed" if is_fixed(self.rule) else f"{self.rule}, chosen out of fold"
        scaled = "not scaled" if self.temperature == 1 else f"scaled with temperature {self.temperature:.2f}"
        return f"leukemic from a probability of {self.threshold:.3g} on ({chosen}); probabilities are {scaled}"
