"""Studies with a mirror in a storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.worlds import World

from leukemia.base.files import write_json
from leukemia.data.catalog import Catalog
from search.storage.filesystem import Storage
from search.storage.mirror import Mirror

NAME = "study"


PLANNED = {
    "trials": 3,
    "preset": "debug",
    "settings": {},
    "start": {},
    "space": {},
    "racing": False,
    "margin": 3.0,
    "repeats": 0,
    "patience": 25,
    "warm_start": [],
}
"""What a command writes down besides and the driver does not ask for."""


def worlds_in(folder: Path, catalog: Catalog) -> Callable[..., World]:
    """What makes the study that a command would begin or go on with, by the name of its head."""

    def begin(head: str, **settings: Any) -> World:
        world = World(folder / head / NAME, catalog, **settings)
        if "trials" not in (info := world.study.info):
            write_json(world.study.folder / "study.json", {**info, **PLANNED})
        return world

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
