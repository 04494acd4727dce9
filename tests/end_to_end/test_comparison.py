"""The worked example of docs/space.md as a user runs it, without its deepest networks: they take minutes on a CPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.command import Command
from helpers.searches import ONE_AT_A_TIME, ROOT

from leukemia.study.comparison import comparison_table
from leukemia.study.folder import Study
from leukemia.study.given_recipes import names_of

pytestmark = pytest.mark.slow

SETTINGS = {
    "data.size_px": 32,
    "train.epochs": 1,
    "train.batch_size": 24,
    "optimizer.name": "adamw",
    "evaluate.tta": "none",
    "evaluate.precise_bn": "false",
}
SMALL = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
OPTIONS = ["--study", "course", "--folds", "2", "--repeats", "0", *ONE_AT_A_TIME, *SMALL]


def test_the_example_compares_its_recipes(tmp_path: Path, tiny_folder: Path, session_cache: Path) -> None:
    environment = {
        **os.environ,
        "LEUKEMIA_CACHE": str(session_cache / "comparison"),
        "WANDB_MODE": "disabled",
        "RAY_ADDRESS": "local",
        "PYTHONPATH": str(ROOT),
    }
    recipes = tmp_path / "course.yaml"
    whole = (ROOT / "examples" / "course.yaml").read_text()
    recipes.write_text(whole.partition("- name: ResNet-50, augmented")[0])
    options = ["--data", str(tiny_folder), "--recipes", str(recipes), *OPTIONS]
    command = Command("search.run", options, tmp_path, environment)
    assert command.wait() == 0
    study = Study.open(tmp_path / "runs" / "course")
    assert [study.recipe(number).model.depth for number in study.trials()] == [18, 18, 50]
    assert all(study.folds_done(number, 0) == [0, 1] for number in range(3))
    names, table = names_of(study.info), comparison_table(study)
    assert table["recipe"].tolist() == [names[number] for number in range(3)]
    assert table["state"].tolist() == ["complete"] * 3
    assert table["difference_low"].notna().tolist() == [False, *[True] * 2]
    printed = "comparison: points are differences from trial 0000, ResNet-18, no augmentation, paired over the same"
    assert printed in command.stdout
    page = (study.folder / "report.html").read_text()
    assert "against ResNet-18, no augmentation" in page
    assert all(name in page for name in names.values())
    assert "Is it better than the first recipe?" in page
    for word in ("starting recipe itself", "tries promising values", "What was searched"):
        assert word not in page
