"""What ``leukemia.final`` prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from leukemia.delivery.model_folder import Delivery
from leukemia.scoring.metrics import describe_difference, majority_rate
from leukemia.study import layout


def say(console: Console, words: str) -> None:
    """Print as it is: without markup or wrapping."""
    console.print(words, markup=False, highlight=False, soft_wrap=True)


def print_outcome(console: Console, folder: Path, delivery: Delivery) -> None:
    """Print test scores, differences and caveats, and where the model lies."""
    tested = delivery.tested
    if tested is None:
        say(console, f"no --test: {layout.METRICS} holds the out-of-fold scores of the search only")
    elif tested.scores is None:
        say(console, f"{len(tested.probabilities)} test images without labels: predictions only")
    else:
        for name in ("accuracy", "balanced_accuracy", "weighted_f1", "auroc"):
            interval = tested.scores[name]
            say(console, f"test {name}: {interval.value:.4f}, 95 % interval {interval.low:.4f} to {interval.high:.4f}")
        say(console, f"majority rate: {majority_rate(tested.catalog.table['label'].to_numpy()):.4f}")
    if delivery.difference is not None:
        against, intervals = delivery.difference
        for name, interval in intervals.items():
            say(console, f"against {against}, {name}: {describe_difference(interval)}")
    for caveat in delivery.caveats():
        say(console, f"caveat: {caveat}")
    say(console, f"model: {folder}")
    say(console, f"next: python -m leukemia.predict --model {folder} IMAGES...")
