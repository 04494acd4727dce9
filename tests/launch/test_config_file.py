"""Options in a file: the command line wins over it, and every study writes the one that runs it again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from helpers.wings import ROOT

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.yaml_text import StrictLoader
from leukemia.base.yaml_text import parse as parse_yaml
from leukemia.study.folder import Study
from leukemia.study.layout import is_study_file
from search.launch.arguments import parse, request_of
from search.launch.config_file import KEYS, config_of, with_config
from search.launch.study_folder import created, resumed
from search.planning.plan import Plan, plan_new
from search.planning.resumption import plan_resumed

FILE = """
trials: 7
gpus-per-trial: auto
racing: false
pausing: true
set: {train.epochs: 4, model.shortcut: add}
search: {model.depth: [18, 50], optimizer.learning_rate: 1e-4..1e-2:log}
rungs: [0.1, 0.3]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return path


def test_options_of_a_file_are_those_of_the_command_line(file: Path) -> None:
    words = "--trials 7 --gpus-per-trial auto --no-racing --pausing --rungs 0.1,0.3 --set train.epochs=4"
    more = "--set model.shortcut=add --search model.depth=18,50 --search optimizer.learning_rate=1e-4..1e-2:log"
    expected = vars(parse([*words.split(), *more.split()]))
    for argv in (["--config", str(file)], [f"--config={file}"]):
        assert {**vars(parse(argv)), "config": None} == expected
    assert with_config(["--trials", "3"]) == ["--trials", "3"]


def test_the_command_line_wins(file: Path) -> None:
    words = [
        "--trials",
        "3",
        "--racing",
        "--no-pausing",
        "--set",
        "train.epochs=9",
        "--search",
        "model.shortcut=add,concat",
    ]
    found = parse([*words, "--config", str(file), "--set", "model.depth=50"])
    assert (found.trials, found.racing, found.pausing) == (3, True, False)
    assert sorted(found.settings) == ["model.depth=50", "train.epochs=9"]
    assert found.search == ["optimizer.learning_rate=1e-4..1e-2:log", "model.shortcut=add,concat"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails: 3", r": unknown option 'trails'; did you mean trials\?$"),
        ("zzz: 3", r": unknown option 'zzz'; the options are data, set, "),
        ("resume: true", r": unknown option 'resume'; it belongs on the command line$"),
        ("dry-run: true", r": unknown option 'dry_run'; it belongs on the command line$"),
        ("trials: 3\ntrials: 4", r": expected YAML: line 2: trials is given twice$"),
        ("max-gpus: 3\nmax_gpus: 4", r": an option is given twice, with - and with _; give it once$"),
        ("set: [train.epochs=3]", r": set: expected fields and their values, got \['train.epochs=3'\]$"),
        ("- trials", r": expected options by name, such as trials: 50, got"),
        ("", r": expected options by name"),
    ],
)
def test_a_file_with_mistakes_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^--config {path}{message}"):
        parse(["--config", str(path)])


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingFile, match=r"^--config absent.yaml: no such file"):
        parse(["--config", "absent.yaml"])
    with pytest.raises(SystemExit):
        parse(["--config"])
    assert "expected one argument" in capsys.readouterr().err


def planned(tiny_folder: Path, runs: Path, *words: str) -> Plan:
    data = [
        "--data",
        str(tiny_folder),
        "--runs",
        str(runs),
        "--study",
        "one",
        "--folds",
        "2",
        "--set",
        "data.size_px=32",
    ]
    return plan_new(request_of(parse([*data, *words])), "python -m search.run")


def test_every_study_writes_the_options_that_run_it_again(tmp_path: Path, tiny_folder: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "leave: [augment.blur]\nparameters: {train.epochs: {min: 4, max: 9}, model.shortcut: {value: add}}"
    )
    words = ["--space", str(space), "--search", "model.depth=18,50", "--objective", "tta_auroc,cost", "--rungs", ""]
    rules = [
        "--no-racing",
        "--margin",
        "2.5",
        "--budget-hours",
        "1.5",
        "--sampler",
        "gp",
        "--starts",
        "3",
        "--seed",
        "7",
    ]
    plan = planned(tiny_folder, tmp_path / "runs", *words, *rules, "--subject-spelling", "exact").with_cpu_threads(2)
    with created(plan) as study:
        path = study.folder / "config.yaml"
        assert is_study_file("config.yaml")
    space.unlink()
    again = plan_new(request_of(parse(["--config", str(path), "--runs", str(tmp_path / "runs")])), plan.info.command)
    own = {"study_uid": "", "created": "", "asked": {}, "cpu_threads": None}
    assert dataclasses.replace(again.info, **own) == dataclasses.replace(plan.info, **own)
    assert again.space == plan.space
    assert again.space.dimensions == plan.space.dimensions
    assert parse(["--config", str(path)]).cpus_per_trial == 2


def test_the_file_follows_a_resumed_study(tmp_path: Path, tiny_folder: Path) -> None:
    with created(planned(tiny_folder, tmp_path / "runs", "--trials", "3")):
        pass
    argv = ["--runs", str(tmp_path / "runs"), "--study", "one", "--resume", "--trials", "9"]
    study = resumed(plan_resumed(request_of(parse(argv))))
    found = parse_yaml((study.folder / "config.yaml").read_text(), StrictLoader)
    assert (found["trials"], found["data"]) == (9, str(tiny_folder))
    assert found.keys() <= set(KEYS)


def test_a_study_of_an_earlier_version_has_options_too() -> None:
    found = config_of(Study.open(ROOT / "tests" / "example_study").info)
    assert found.keys() <= set(KEYS)
    assert found["set"] == Study.open(ROOT / "tests" / "example_study").info.settings
