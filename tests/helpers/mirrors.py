"""Studies mirrored in a storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.worlds import World

from leukemia.data.catalog import Catalog
from search.storage.filesystem import Storage
from search.storage.mirror import Mirror

NAME = "study"


def worlds_in(folder: Path, catalog: Catalog) -> Callable[..., World]:
    """A function that creates or opens the study on a given head, as a command would."""

    def begin(head: str, **settings: Any) -> World:
        return World(folder / head / NAME, catalog, **settings)

    return begin


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "driver.lock"
    }


def mirrored(world: World, storage: Storage) -> None:
    mirror = Mirror(storage, NAME)
    mirror.start(world.study)
    assert mirror.close(finished=False) == ""
    mirror.release()
