"""Which checkpoints are removed from a mirrored study."""

from __future__ import annotations

from pathlib import Path

from helpers.mirrors import NAME, worlds_in

from leukemia.data.catalog import Catalog
from leukemia.study.job import Job
from search.storage.checkpoints import folder_of, remove_ended
from search.storage.filesystem import open_storage


def test_checkpoints_of_a_trial_that_is_not_known_to_have_ended_are_kept(tmp_path: Path, tiny_catalog: Catalog) -> None:
    world = worlds_in(tmp_path, tiny_catalog)("head", trials=2)
    world.run()
    study, storage = world.study, open_storage(str(tmp_path / "storage")).folder(NAME)
    checkpoints = [
        f"checkpoints/{folder_of(Job(number, 0), study.recipe(number))}/seed_0/fold_0.pt" for number in (0, 1)
    ]
    for name in checkpoints:
        storage.write(b"", name)
    (study.trial_folder(1) / "recipe.json").unlink()
    remove_ended(storage, study, ["trials/0000/state.json"], finished=False)
    assert storage.names() == checkpoints[1:]
    remove_ended(storage, study, [], finished=True)
    assert storage.names() == []
