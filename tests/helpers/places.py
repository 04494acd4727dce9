"""Places in which the tasks of a simulated search run side by side."""

from __future__ import annotations

import random
from collections.abc import Iterator

from helpers.worlds import World

from search.policy.task import Task
from search.trials.assignment import Assignment, Report
from search.trials.driver import Driver


class Places:
    """Some places in which tasks run side by side, a report of each in turn."""

    def __init__(self, world: World, num_places: int, driver: Driver | None = None) -> None:
        self.world, self.num_places = world, num_places
        self.driver = world.driver() if driver is None else driver
        self.running: dict[Task, Iterator[Report]] = {}
        self.order: list[tuple[int, int]] = []
        """Number and fold of each task of a trial, in the order in which they started."""

    def fill(self) -> None:
        while len(self.running) < self.num_places:
            assignment = self.driver.begin(self.num_places)
            if assignment is None:
                return
            task = assignment.task
            if not task.job.is_repeat:
                self.order.append((task.job.number, task.fold))
            self.running[task] = self.reports(assignment)

    def reports(self, assignment: Assignment) -> Iterator[Report]:
        return self.world.reports(assignment)

    def step(self) -> None:
        """Handle the next report of each running task."""
        for task in list(self.running):
            if task in self.running:
                self.step_of(task)

    def step_any(self, rng: random.Random) -> None:
        """Handle the next report of one task."""
        self.step_of(rng.choice(list(self.running)))

    def step_of(self, task: Task) -> None:
        """Handle the next report of a task. If that decides the end of its job, its other tasks are ended."""
        report = next(self.running[task], None)
        if report is None or not self.driver.receive(task, report):
            del self.running[task]
            self.driver.end(task, report is None and self.world.fate(task.job) == "crashed")
        for other in self.driver.abandoned():
            if other in self.running:
                del self.running[other]
                self.driver.end(other, process_failed=True)

    def run(self) -> list[tuple[int, int]]:
        """Run to the end of the search; returns ``order``."""
        while True:
            self.fill()
            if not self.running:
                assert self.driver.idle()
                return self.order
            self.step()
