"""Variables ``RAY_*`` with which Ray cannot be imported are named before it ends this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest

import search
from leukemia.base.errors import UserError
from search import run
from search.cluster import requirements, variables
from search.preflight import __main__ as preflight


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    for name, value in search.VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[set[str]], bool]], list[set[str]]]:
    """Sets whether Ray can be imported with a set of variables; returns the sets that were tried."""

    def replace(verdict: Callable[[set[str]], bool]) -> list[set[str]]:
        tried: list[set[str]] = []

        def is_importable(without: Iterable[str]) -> bool:
            tried.append(set(variables.given()) - set(without))
            return verdict(tried[-1])

        monkeypatch.setattr(variables, "_is_importable", is_importable)
        return tried

    return replace


def test_only_what_the_user_has_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_CLIENT_MODE", "0")
    # By a search in this process.
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    assert variables.given() == []
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "1")
    monkeypatch.setenv("RAY_event_stats", "1")
    assert variables.given() == ["RAY_AIR_NEW_OUTPUT", "RAY_event_stats"]


def test_without_variables_nothing_is_tried(importable: Callable) -> None:
    tried = importable(lambda names: False)
    variables.check_variables()
    assert tried == []


@pytest.mark.parametrize(
    ("at_fault", "message"),
    [
        ({"RAY_b"}, r"^RAY_b=2: Ray cannot be imported with this value; correct the variable, or unset it$"),
        ({"RAY_a", "RAY_b"}, r"^RAY_a=1, RAY_b=2: Ray cannot be imported with these values; correct"),
    ],
)
def test_the_variables_at_fault_are_named_before_the_search_imports_ray(
    importable: Callable, monkeypatch: pytest.MonkeyPatch, at_fault: set[str], message: str
) -> None:
    for name, value in (("RAY_a", "1"), ("RAY_b", "2"), ("RAY_c", "3")):
        monkeypatch.setenv(name, value)
    importable(lambda names: not names & at_fault)
    monkeypatch.setattr("search.launch.search.search", lambda *given: pytest.fail("the search begins"))
    with pytest.raises(UserError, match=message):
        run.main(["--dry-run"])
    with pytest.raises(UserError, match=message):
        preflight.main(["cluster.yaml"])


@pytest.mark.parametrize("is_installed", [False, True])
def test_variables_are_not_blamed_for_another_failure(
    importable: Callable, monkeypatch: pytest.MonkeyPatch, is_installed: bool
) -> None:
    monkeypatch.setenv("RAY_a", "1")
    tried = importable(lambda names: is_installed)
    variables.check_variables()
    assert tried == ([{"RAY_a"}] if is_installed else [{"RAY_a"}, set()])


def test_a_value_that_crashes_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own code ends the process by a signal."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "abc")
    assert not variables._is_importable(())


def test_a_variable_is_named_once_ray_has_failed_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "LIKELY", requirements.LIKELY[-1:])
    assert requirements.likely_cause() is None
    monkeypatch.setenv("RAY_memory_usage_threshold", "2")
    assert (
        requirements.likely_cause() == "these variables change Ray, correct or unset them: RAY_memory_usage_threshold"
    )
