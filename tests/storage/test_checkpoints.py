"""Which checkpoints are removed from a mirrored study, and how their folders are named."""

from __future__ import annotations

from pathlib import Path

from helpers.mirrors import NAME, worlds_in

from leukemia.data.catalog import Catalog
from leukemia.study.folder import Study
from leukemia.study.job import Job
from search.storage.checkpoints import folder_of, remove_ended
from search.storage.filesystem import open_storage

EXAMPLE = Path(__file__).parents[1] / "example_study"


def test_a_folder_of_checkpoints_keeps_the_name_that_an_earlier_version_gave_it() -> None:
    """Names made at commit 4f40453, which has no ``train.pipeline``."""
    recipe = Study.open(EXAMPLE).recipe(0)
    assert (recipe.optimizer.name, recipe.train.pipeline) == ("ranger21_package", "reference")
    assert [folder_of(Job(0, seed), recipe) for seed in (0, 3)] == ["0000-0-91360744", "0000-3-b24c8c83"]
    assert folder_of(Job(0, 0), recipe.with_settings({"optimizer.name": "adamw"})) == "0000-0-6011de4e"
    # Earlier versions have neither; the second has the earlier name of another optimizer.
    for settings in ({"train.pipeline": "batch"}, {"optimizer.name": "ranger21"}):
        assert folder_of(Job(0, 0), recipe.with_settings(settings)) != "0000-0-91360744"


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
