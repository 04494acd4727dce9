"""A worker that Ray ends for want of memory has died, and does not take the search with it."""

from __future__ import annotations

import logging

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError

from search.cluster.ray_private import treat_oom_as_crash


def test_a_worker_ended_for_want_of_memory_has_died(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    manager, task = object.__new__(RayActorManager), TrackedActorTask(TrackedActor(actor_id=0))
    shortage = OutOfMemoryError("2 worker(s) were killed")
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):
        # Tune's own answer, called by name as Tune does; when it has learned better, treat_oom_as_crash can go.
        manager._actor_task_failed(tracked_actor_task=task, exception=shortage)
    heard: list[Exception] = []
    monkeypatch.setattr(
        RayActorManager, "_actor_task_failed", lambda self, tracked_actor_task, exception: heard.append(exception)
    )
    with treat_oom_as_crash():
        for error in (shortage, KeyError("another")):
            manager._actor_task_failed(tracked_actor_task=task, exception=error)
    assert [type(error) for error in heard] == [RayActorError, KeyError]
    assert str(heard[0]) == str(shortage)
    assert caplog.text.count("short of memory") == 1
