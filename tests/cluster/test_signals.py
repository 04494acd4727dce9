"""An interrupt is raised where it comes, and again where it was swallowed."""

from __future__ import annotations

import os
import signal

import pytest

from search.cluster import signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_swallowed_interrupt_is_raised_again(number: signal.Signals) -> None:
    with signals.listening():
        signals.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            signals.check()


def test_handlers_are_put_back_and_a_new_search_begins_afresh() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals.listening(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with signals.listening():
        signals.check()
