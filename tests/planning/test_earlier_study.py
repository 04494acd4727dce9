"""A study of an earlier version goes on with its own parameters, and trains with the pipeline and package of then."""

from __future__ import annotations

import shutil
from pathlib import Path

from leukemia.config.earlier import renamed_since
from leukemia.config.recipe import Recipe
from leukemia.study.best import Best
from leukemia.study.folder import Study
from search.policy.dimensions import without_reasons
from search.policy.space import make_space
from search.sampling.journal import Journal
from search.trials.evidence import check_journal

EXAMPLE = Path(__file__).parents[1] / "example_study"


def test_the_example_study_goes_on(tmp_path: Path) -> None:
    study = Study.open(Path(shutil.copytree(EXAMPLE, tmp_path / "example")))
    start = Recipe.from_flat(study.info.start)
    space = make_space(start, study.info.settings, renamed_since(study.info.start))
    assert without_reasons(space.describe()) == study.info.space
    journal = Journal(study.folder / "optuna.journal", space, seed=study.info.seed, name=study.name)
    check_journal(study, journal)
    assert [study.recipe(number).optimizer.name for number in study.trials()] == ["ranger21_package"] * 2
    assert space.fits(study.recipe(1))
    # The winner is retrained as it was trained.
    winner = Best.load(study.folder / "best.json").recipe
    assert (winner.optimizer.name, winner.train.pipeline) == ("ranger21_package", "reference")
    names = set()
    for _ in range(8):
        number, recipe = journal.ask()
        names.add(recipe.optimizer.name)
        assert recipe.train.pipeline == "reference"
        assert journal.entries()[number].parameters == space.parameters(recipe)
    assert names <= {"ranger21_package", "adamw", "ranger21_package_cosine"}
    assert len(names) > 1
    # Opened once more, the proposals are still in the study's space.
    again = Journal(study.folder / "optuna.journal", space, seed=study.info.seed, name=study.name)
    assert len(again.adopt()) == 8
