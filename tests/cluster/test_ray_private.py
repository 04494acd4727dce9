"""A worker killed by Ray when out of memory counts as crashed; secrets stay out of Ray's logs."""

from __future__ import annotations

import logging

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import class_cache

from search.cluster.ray_private import treat_oom_as_crash, without_secrets


def test_a_worker_killed_when_out_of_memory_counts_as_crashed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    manager, task = object.__new__(RayActorManager), TrackedActorTask(TrackedActor(actor_id=0))
    out_of_memory = OutOfMemoryError("2 worker(s) were killed")
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):
        # Tune's own handler, called by name as Tune does; once it handles this case, treat_oom_as_crash can be removed.
        manager._actor_task_failed(tracked_actor_task=task, exception=out_of_memory)
    received: list[Exception] = []
    monkeypatch.setattr(
        RayActorManager, "_actor_task_failed", lambda self, tracked_actor_task, exception: received.append(exception)
    )
    with treat_oom_as_crash():
        for error in (out_of_memory, KeyError("another")):
            manager._actor_task_failed(tracked_actor_task=task, exception=error)
    assert [type(error) for error in received] == [RayActorError, KeyError]
    assert str(received[0]) == str(out_of_memory)
    assert caplog.text.count("low on memory") == 1


@pytest.mark.parametrize(("resetting", "expected"), [(True, ["actor"]), (False, ["actor", "task"])])
def test_a_trial_whose_idle_process_is_gone_does_not_fail_twice(
    monkeypatch: pytest.MonkeyPatch, resetting: bool, expected: list[str]
) -> None:
    """Tune reports the failure of the process and that of the call; it means to retry the trial after the first."""
    failures: list[str] = []

    class Controller:
        """What is used of Tune's controller."""

        def __init__(self) -> None:
            self._actor_to_trial = {TrackedActor(actor_id=7): "trial"}
            self._resetting_trials = {"trial"} if resetting else set[str]()

        def fail(self, actor: TrackedActor, error: Exception) -> None:
            failures.append("actor")

    controller, manager = Controller(), object.__new__(RayActorManager)
    manager._failed_actor_ids = set()
    monkeypatch.setattr(RayActorManager, "_cleanup_actor", lambda self, tracked_actor: None)
    actor = TrackedActor(actor_id=7, on_error=controller.fail)
    task = TrackedActorTask(actor, on_error=lambda actor, error: failures.append("task"))
    with treat_oom_as_crash():
        manager._actor_task_failed(tracked_actor_task=task, exception=RayActorError())
    assert failures == expected
    assert controller._resetting_trials == set()


def test_aws_credentials_stay_out_of_the_runtime_environment_of_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")

    class Trainable:
        pass

    def variables() -> dict[str, str]:
        actor = class_cache._ActorClassCache().get(Trainable)
        found: dict[str, str] = actor._default_options["runtime_env"]["env_vars"]
        return found

    with without_secrets():
        assert "AWS_SECRET_ACCESS_KEY" not in variables()
        assert variables()["RAY_CHDIR_TO_TRIAL_DIR"] == "0"
    # Once Tune does not copy them, without_secrets can be removed.
    assert variables()["AWS_SECRET_ACCESS_KEY"] == "secret"
