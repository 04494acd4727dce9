"""A worker that Ray ends for want of memory: for Tune it has died, like any other."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError

log = logging.getLogger("search")


@contextlib.contextmanager
def shortage_as_death() -> Iterator[None]:
    """Take a worker that Ray has ended for want of memory for one that died; it is then started again.

    Most ends of that kind Tune sees so by itself. Of one that comes while the worker starts it may hear in another
    way, which it does not expect, and would give up the whole search; nothing public tells it otherwise.
    """
    hear = RayActorManager._actor_task_failed

    def hear_of_death(self: RayActorManager, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            log.warning("a node is short of memory, and Ray ended a trial's process; --cpus-per-trial lets fewer run")
            exception = RayActorError(error_msg=str(exception))
        hear(self, tracked_actor_task=tracked_actor_task, exception=exception)

    RayActorManager._actor_task_failed = hear_of_death
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = hear
