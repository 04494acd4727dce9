"""What a user asks of the whole search through a listener: Pause, Stop and Cancel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.worlds import World, everything

from leukemia.data.catalog import Catalog
from leukemia.study.job import Job
from leukemia.study.listener import Listener, Request
from leukemia.study.schema import TrialEnd
from search.cluster import tuner
from search.policy.task import Task
from search.trials.requests import Canceled


class Buttons(Listener):
    """Asks what a test sets, and keeps the driver's notes."""

    def __init__(self) -> None:
        self.asked = Request.RUN
        self.notes: list[str] = []

    @property
    def request(self) -> Request:
        return self.asked

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def buttons() -> Buttons:
    return Buttons()


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog, buttons: Buttons) -> Callable[..., World]:
    def make(name: str = "study") -> World:
        world = World(tmp_path / name, tiny_catalog, trials=3, repeats=1)
        world.listeners.append(buttons)
        return world

    return make


def test_stop_ends_the_search_after_the_running_trials(world_in: Callable[..., World], buttons: Buttons) -> None:
    world = world_in()
    driver = world.driver()
    first = driver.begin()
    assert first is not None
    buttons.asked = Request.STOP
    driver.obey()
    driver.obey()
    assert driver.begin() is None
    world.work(driver, first)
    assert driver.begin() is None, "neither a trial nor a repeat"
    assert driver.idle()
    assert buttons.notes == ["stopped in W&B; no new trials will start"]
    assert {number: end and end.state for number, end in ends(world).items()} == {0: "complete"}
    resumed = world_in()
    buttons.asked = Request.RUN
    resumed.run()
    whole = world_in("whole")
    whole.run()
    assert everything(resumed) == everything(whole)


def test_pause_holds_new_trials_back_until_resume(world_in: Callable[..., World], buttons: Buttons) -> None:
    world = world_in()
    driver = world.driver()
    buttons.asked = Request.PAUSE
    driver.obey()
    assert driver.begin() is None
    assert (driver.is_paused, driver.idle()) == (True, True)
    buttons.asked = Request.RUN
    driver.obey()
    assignment = driver.begin()
    assert assignment is not None
    assert assignment.task == Task(Job(0, 0), 0)
    assert buttons.notes == [
        "paused in W&B; no new trials will start until it is resumed there",
        "resumed in W&B; new trials will start again",
    ]


def test_a_paused_search_waits_only_while_no_trial_runs(
    world_in: Callable[..., World], buttons: Buttons, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        buttons.asked = Request.RUN

    monkeypatch.setattr(tuner.time, "sleep", sleep)
    monkeypatch.setattr(tuner, "require_ray", lambda: None)
    driver = world_in().driver()
    assert driver.begin() is not None
    buttons.asked = Request.PAUSE
    tuner._obey(driver)
    assert waits == []
    between = world_in("between two folds")
    driver = between.driver()
    buttons.asked = Request.RUN
    driver.obey()
    first = driver.begin()
    assert first is not None
    buttons.asked = Request.PAUSE
    between.train(driver, first)
    tuner._obey(driver)
    assert waits == [], "a trial that has begun goes on"
    assert driver.begin() is not None
    driver = world_in("other").driver()
    buttons.asked = Request.PAUSE
    tuner._obey(driver)
    assert waits == [tuner.PAUSE_SECONDS]
    assert not driver.is_paused


def test_cancel_ends_the_search_and_loses_nothing(world_in: Callable[..., World], buttons: Buttons) -> None:
    world = world_in()
    driver = world.driver()
    assignment = driver.begin()
    assert assignment is not None
    buttons.asked = Request.CANCEL
    with pytest.raises(Canceled, match="canceled in W&B"):
        driver.obey()
    assert ends(world) == {0: None}
    resumed = world_in()
    buttons.asked = Request.RUN
    resumed.run()
    whole = world_in("whole")
    whole.run()
    assert everything(resumed) == everything(whole)


def ends(world: World) -> dict[int, TrialEnd | None]:
    return {number: world.study.end(number) for number in world.study.trials()}
