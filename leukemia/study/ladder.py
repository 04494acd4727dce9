"""``ladder.json``: the rungs of a search that lets trials wait, and which trials wait there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from leukemia.study import layout
from leukemia.study.field_types import Count, Positive, Share, TrialId

if TYPE_CHECKING:
    from leukemia.study.folder import Study

END = 1.0
"""The share of the rung at the end of fold 0."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a trial waits."""

    share: Share
    """Of the rung, in 0..1; 1 is the end of fold 0."""

    rank: Positive
    """From 1, among all trials that have reached the rung, whatever became of them."""

    reached: Positive
    """Number of these trials."""

    @property
    def where(self) -> str:
        """
        >>> Place(share=0.15, rank=31, reached=48).where, Place(share=1.0, rank=3, reached=12).where
        ('15 % of fold 1, rank 31 of 48', 'the end of fold 1, rank 3 of 12')
        """
        return f"{rung_name(self.share)} of fold 1, rank {self.rank} of {self.reached}"

    def describe(self) -> str:
        """
        >>> Place(share=0.15, rank=31, reached=48).describe()
        'waits at 15 % of fold 1, rank 31 of 48'
        """
        return f"waits at {self.where}"

    def describe_past(self) -> str:
        """Of a trial that has gone on; without its rank, which others have changed since.

        >>> Place(share=0.15, rank=31, reached=48).describe_past()
        'went on from 15 % of fold 1'
        """
        return f"went on from {rung_name(self.share)} of fold 1"


@dataclass(frozen=True, kw_only=True)
class RungRecord:
    """How many trials have come to a rung."""

    share: Share
    """As in ``Place``."""

    trained: Share
    """Of fold 0, what its trials had trained there on average: epochs are whole, and no trial waits after its first."""

    reached: Count
    """Number of trials, whatever became of them; without those reused from earlier studies."""

    went_on: Count
    """Those that went on, among them the starting recipe, which never waits. The others wait there, or ended there."""


@dataclass(frozen=True, kw_only=True)
class LadderRecord:
    """The content of ``ladder.json``; empty without pausing."""

    rungs: list[RungRecord] = field(default_factory=list)
    """Those that a trial has reached, in ascending order of their shares."""

    waiting: dict[TrialId, Place] = field(default_factory=dict)
    """The trials that wait."""

    @property
    def places(self) -> dict[int, Place]:
        """The trials that wait, by number, ascending."""
        return {int(trial): place for trial, place in sorted(self.waiting.items())}

    @classmethod
    def find(cls, study: Study) -> LadderRecord:
        """Read the file of a study; empty if there is none.

        Raises:
            UserError: the file is invalid.
        """
        path = study.folder / layout.LADDER
        return study.read(cls, path) if path.is_file() else cls()


def waiting_trials(study: Study) -> dict[int, Place]:
    """The trials of a study that wait, by number, ascending; they have not ended."""
    places = LadderRecord.find(study).places
    # A study that was fetched from a storage may lack the last trials.
    return {number: places[number] for number in study.trials() if number in places and study.end(number) is None}


def open_state(is_waiting: bool) -> str:
    """The state of a trial that has not ended, beside those of ``State``."""
    return "waiting" if is_waiting else "running"


def rung_name(share: float) -> str:
    """
    >>> rung_name(0.45), rung_name(1.0)
    ('45 %', 'the end')
    """
    return "the end" if share == END else f"{100 * share:g} %"
