"""Searches that are killed, one after the other, completed, and compared with one that was not."""

from __future__ import annotations

import dataclasses
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.comparison import compare, compare_shared, repeated_epochs
from benchmarks.faults.harness.killing import EXPECTED, TARGETS, Kill, complete, kill_at
from benchmarks.faults.harness.moments import MOMENTS, Moment
from benchmarks.faults.harness.processes import ProcessTree
from benchmarks.faults.harness.promises import broken
from benchmarks.faults.harness.records import differences
from benchmarks.faults.harness.search import Search
from benchmarks.faults.harness.tally import Outcome, Tally
from benchmarks.faults.harness.undisturbed import Aim, Undisturbed
from leukemia.base.cpus import available_cpus
from leukemia.data.sample import TRAINING, generate
from leukemia.study.folder import Study


class KilledSearches:
    """The searches of one benchmark. What an interrupted one has finished is used; the rest is removed."""

    def __init__(self, case: Case, prefix: Path, *, seed: int, moments: Sequence[Moment] = MOMENTS) -> None:
        """
        Args:
            prefix: of the paths of all that is written; its parent exists.
            seed: of the random moments.
            moments: with pausing, those to aim at in turn, as far as they occur.

        Raises:
            UserError: a benchmark with this prefix and other options was begun.
        """
        self._case, self._prefix, self._seed, self._moments = case, prefix, seed, moments
        self._tree, self._data = ProcessTree(), self._path("-cells")
        # On a CPU the number of threads changes the last digits.
        options = {**dataclasses.asdict(case), "cpus": available_cpus(), "seed": seed}
        self.tally = Tally(self._path(".jsonl"), options)

    def _path(self, end: str) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}{end}")

    def run(self, kinds: Sequence[str], times: int) -> bool:
        """Kill ``times`` searches of each kind, less those in the tally; returns whether all kept what they should."""
        is_kept = True
        try:
            undisturbed = self._undisturbed()
            if undisturbed is None:
                return False
            for kind in kinds:
                for number in range(1, times + 1):
                    if number not in self.tally.of(kind):
                        self.tally.add(self._killed(undisturbed, kind, number))
                passed = sum(not self.tally.of(kind)[number].problems for number in range(1, times + 1))
                print(f"{kind}: {passed} of {times} ended with the results of the undisturbed search", flush=True)
                is_kept &= passed == times
        finally:
            self._tree.kill()
        return is_kept

    def _search(self, name: str) -> Search:
        return self._case.search(self._path(f"-{name}"), self._tree, self._data / TRAINING)

    def _undisturbed(self) -> Undisturbed | None:
        """The undisturbed search; None if it failed."""
        search = self._search("undisturbed")
        if search.output.exists() or not search.folder.exists():
            _remove(search)
            if not self._data.exists():
                generate(self._data, num_subjects=12, images_per_subject=4, num_test_images=2)
            search.start()
            if search.wait() != 0:
                print(f"the undisturbed search failed; see {search.output}", file=sys.stderr)
                return None
            # Of a search that is finished only the study remains.
            search.output.unlink()
        undisturbed = Undisturbed(search, self._case)
        problems = [*broken(undisturbed.study, self._case), *differences(search.folder)]
        print(f"undisturbed: {sum(search.epochs().values())} epochs, {search.num_folds()} folds", *problems, flush=True)
        return None if problems else undisturbed

    def _killed(self, undisturbed: Undisturbed, kind: str, number: int) -> Outcome:
        """Kill a search, complete it, and compare it with the undisturbed one."""
        draw = random.Random(f"{self._seed} {kind} {number}")
        search, kill = self._search(f"{kind}-{number:02d}"), None
        while kill is None:
            _remove(search)
            aim = self._aim(undisturbed, number, draw)
            parts = draw.choice(TARGETS[kind]) if kind in TARGETS else ()
            kill = kill_at(search, kind, aim, parts, self._case, draw)
            if kill is None:
                # The search ended before the kill, which tests nothing: try another moment.
                search.wait()
        statuses, ending = complete(search)
        outcome = self._outcome(undisturbed, search, kind, number, kill, statuses)
        print(
            f"{kind} {number}: {kill.description}, {kill.moment}; {ending}, {outcome.repeated_epochs} epochs repeated: "
            f"{'; '.join(outcome.problems) or 'equal'}",
            flush=True,
        )
        if not outcome.problems:
            _remove(search)
        return outcome

    def _aim(self, undisturbed: Undisturbed, number: int, draw: random.Random) -> Aim:
        """With pausing, at each kind of moment in turn: most are too short to be hit by chance."""
        if not self._case.pausing:
            return undisturbed.any_moment(draw)
        moments = [moment for moment in self._moments if moment in undisturbed.moments]
        return undisturbed.at(moments[(number - 1) % len(moments)], draw)

    def _outcome(
        self, undisturbed: Undisturbed, search: Search, kind: str, number: int, kill: Kill, statuses: Sequence[int]
    ) -> Outcome:
        """What has become of a search that was killed, after sessions with these statuses."""
        num_repeated = num_shared = 0
        if statuses[0] not in EXPECTED[kind] or statuses[-1] != 0:
            problems = [f"status {' and '.join(map(str, statuses))}; see {search.output}"]
        else:
            study = Study.open(search.folder)
            num_repeated = repeated_epochs(study)
            num_shared, problems = self._compare(undisturbed.study, study)
        return Outcome(
            kind=kind,
            number=number,
            moment=kill.moment,
            repeated_epochs=num_repeated,
            shared_folds=num_shared,
            problems=problems,
        )

    def _compare(self, undisturbed: Study, disturbed: Study) -> tuple[int, list[str]]:
        """The number of folds that were compared, and a line for all that differs or is wrong."""
        num_shared, problems = compare_shared(undisturbed.folder, disturbed.folder)
        if not num_shared:
            problems.append("no fold was run by both searches")
        if self._case.places == 1:
            problems += compare(undisturbed.folder, disturbed.folder, in_order=True)
        return num_shared, [*problems, *broken(disturbed, self._case), *differences(disturbed.folder)]


def _remove(search: Search) -> None:
    """Remove a search, if it has been started; its output is removed last, as a sign that the rest was complete."""
    if search.output.exists():
        shutil.rmtree(search.folder, ignore_errors=True)
        search.output.unlink()
