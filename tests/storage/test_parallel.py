"""Files transferred in parallel."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from search.storage.parallel import NUM_PARALLEL, for_each


def test_all_items_are_worked_on_in_parallel_threads() -> None:
    barrier, done = threading.Barrier(NUM_PARALLEL, timeout=10), list[int]()

    def work(item: int) -> None:
        if item < NUM_PARALLEL:
            barrier.wait()
        done.append(item)

    for_each(range(20), work)
    assert sorted(done) == list(range(20))
    for_each([], work)


@pytest.mark.parametrize("error", [OSError("no route"), KeyboardInterrupt("stop")])
def test_an_error_is_raised_and_ends_the_rest(error: BaseException) -> None:
    done = list[int]()

    def work(item: int) -> None:
        if item == 0:
            raise error
        done.append(item)

    with pytest.raises(type(error), match=str(error)):
        for_each([0] * NUM_PARALLEL + list(range(1, 1000)), work)
    assert not done


STUCK = """
import threading
from search.storage.parallel import for_each

begun = threading.Event()

def transfer(item):
    begun.set()
    threading.Event().wait()

threading.Thread(target=for_each, args=([1], transfer), daemon=True).start()
begun.wait()
print("end")
"""


def test_a_stuck_transfer_does_not_keep_the_process_from_ending() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("end\n", "")
