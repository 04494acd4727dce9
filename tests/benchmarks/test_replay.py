"""The replay of searches: simulated time, what a search may see, other people's rules, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import kills
import numpy as np
import optuna
import pandas as pd
import pytest
import racing
import recording
import rung_replay
from clock import Moment, Work, cost_until_good, regret_at, simulate
from entrants import ORACLE_IN_SIGHT, OURS, Entrant, Stage, enter, fixed_entrants, rung_entrants
from halving import Bracket
from judges import AgainstBest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights
from proposals import AtRandom, TableTPE, coordinates, log_density
from ray.tune.schedulers.async_hyperband import _Bracket
from regret_figure import COLORS
from remembering import Memory, RememberingRace
from replay import main
from resampling import Landscape, draw_recipe, fit, resample
from rung_judge import PRIOR_DEVIATION, FirstRung, deviation
from rung_model import draw_rungs, fit_rungs
from rungs import Rungs
from stopping import aggressive, dropping, forgiving, never, signed_ranks
from strategies import FoldSearch, RungFirstSearch, Stock, StockSearch
from table import Seen, View, read_table, reduce_table, take_turns

from leukemia.base.errors import UserError
from search.policy.race import Job, Race, Rules

SPACE = {
    "optimizer.name": {"choices": ["ranger21", "adamw"]},
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "optimizer.weight_decay": {"low": 1e-3, "high": 0.3, "log": True, "optimizers": ["adamw"]},
    "augment.rotate": {"low": 0.0, "high": 1.0, "log": False},
    "data.grayscale": {"choices": [False, True]},
}
START = {
    "optimizer.name": "ranger21",
    "optimizer.learning_rate": 1e-3,
    "optimizer.weight_decay": None,
    "augment.rotate": 0.5,
    "data.grayscale": False,
}
NUM_FOLDS, NUM_EPOCHS = 5, 4


def a_table(accuracies: list[float], *, seconds: list[float] | None = None, per_fold: int = 60, seed: int = 0) -> Seen:
    """Two seeds of recipes of given accuracies; a recipe's epochs last ``seconds``."""
    generator = np.random.default_rng(seed)
    num_images, shape = NUM_FOLDS * per_fold, (2, len(accuracies), NUM_FOLDS, NUM_EPOCHS)
    labels = generator.integers(2, size=num_images)
    right = generator.random((2, len(accuracies), num_images)) < np.array(accuracies)[:, None]
    probabilities = np.where(right == labels, 0.9, 0.1).astype(np.float32)
    seen = Seen(
        recipes=(START, *(draw_recipe(SPACE, START, generator) for _ in accuracies[1:])),
        space=SPACE,
        labels=labels,
        groups=np.arange(num_images),
        folds=np.repeat(np.arange(NUM_FOLDS), per_fold),
        probabilities=probabilities,
        accuracy=np.zeros(shape),
        seconds=np.broadcast_to(np.array(seconds or [1.0] * len(accuracies))[:, None, None], shape).copy(),
    )
    return replace(seen, accuracy=np.repeat(seen.scores[..., None], NUM_EPOCHS, axis=3))


def with_rungs(seen: Seen, accuracies: list[float], *, seed: int = 0) -> Seen:
    """The table with rungs of given accuracies, of half the epochs."""
    labels = seen.labels[seen.fold_rows[0]]
    right = np.random.default_rng(seed).random((2, len(accuracies), len(labels))) < np.array(accuracies)[:, None]
    return replace(seen, rungs=Rungs(probabilities=np.where(right == labels, 0.9, 0.1).astype(np.float32), share=0.5))


def a_record(folder: Path, seen: Seen) -> Path:
    """A recorded table on disk."""
    folder.mkdir()
    curves, predictions = [], []
    for seed, recipe, fold in np.ndindex(*seen.scores.shape):
        key = {"recipe_id": recipe, "seed": seed, "fold": fold}
        for epoch in range(NUM_EPOCHS):
            curves.append(
                {**key, "recipe": json.dumps(seen.recipes[recipe]), "epoch": epoch + 1}
                | {name: getattr(seen, name)[seed, recipe, fold, epoch] for name in ("seconds", "accuracy")}
            )
        rows = np.arange(len(seen.labels))[seen.fold_rows[fold]]
        images = {"image_id": [f"{row:05d}" for row in rows], "group": [f"g{row}" for row in rows]}
        predictions.append(
            pd.DataFrame(images).assign(
                **key,
                label=seen.labels[rows],
                probability_leukemic=seen.probabilities[seed, recipe, rows].astype(float),
            )
        )
    pd.DataFrame(curves).to_parquet(folder / "curves.parquet")
    pd.concat(predictions).to_parquet(folder / "predictions.parquet")
    (folder / "record.json").write_text(json.dumps({"space": SPACE}))
    if seen.rungs is not None:
        first = pd.concat(predictions).query("fold == 0").drop(columns="probability_leukemic")
        rungs = first.assign(probability_leukemic=seen.rungs.probabilities.ravel().astype(float), epochs=2, seconds=9.0)
        rungs.to_parquet(folder / "rungs.parquet")
    return folder


class Scripted:
    """Two trials of two pieces each; recipe 0 until the second trial has ended, then recipe 1."""

    def __init__(self, seconds: list[list[float]]) -> None:
        self.choice: int | None = None
        self._seconds = seconds
        self._ready = [(trial, 0) for trial in reversed(range(len(seconds)))]

    def next(self) -> Work | None:
        if not self._ready:
            return None
        trial, step = self._ready.pop()
        return Work(trial, 0, step, self._seconds[trial][step])

    def hear(self, work: Work) -> None:
        if work.step + 1 < len(self._seconds[work.trial]):
            self._ready.append((work.trial, work.step + 1))
        else:
            self.choice = work.trial


def test_time_and_cost_by_hand() -> None:
    # Worker A runs trial 0 until 5, then trial 2 until 8; worker B runs trial 1 until 9.
    moments = simulate(Scripted([[2, 3], [4, 5], [1, 2]]), num_workers=2)
    assert moments == [
        Moment(0.0, 0.0, None),
        Moment(5.0, 10.0, 0),
        Moment(8.0, 16.0, 2),
        Moment(9.0, 17.0, 1),
        Moment(9.0, 17.0, 1),
    ]


def test_cost_counts_work_in_flight_until_the_choice_stays_good() -> None:
    moments = simulate(Scripted([[2, 3], [4, 5], [1, 2]]), num_workers=2)
    # Trial 0 ends at 5, while 5 of the 9 seconds of trial 1 have been spent beside it.
    assert cost_until_good(moments, np.array([1.0, 1.0, 1.0]), 0.99) == 10.0
    assert cost_until_good(moments, np.array([1.0, 1.0, 0.5]), 0.99) == 17.0
    assert cost_until_good(moments, np.array([1.0, 0.5, 1.0]), 0.99) == np.inf


def test_regret_before_a_choice_is_that_of_the_starting_recipe() -> None:
    moments = [Moment(0, 0, None), Moment(1, 4, 1), Moment(2, 8, 2)]
    regrets = regret_at(moments, np.array([0.5, 0.8, 0.9]), np.array([0.0, 3.9, 4.0, 100.0]))
    np.testing.assert_allclose(regrets, [0.4, 0.4, 0.1, 0.0])


def test_a_worker_keeps_its_trial() -> None:
    seen = a_table([0.9, 0.8, 0.7], seconds=[1.0, 2.0, 3.0])
    search = FoldSearch(seen, AtRandom(3, np.random.default_rng(0)), AgainstBest(seen, never))
    moments = simulate(search, num_workers=1)
    in_full = seen.fold_seconds[0].sum(axis=1)
    assert moments[1].device_seconds == in_full[0]
    assert moments[-1].device_seconds == in_full.sum()


@pytest.mark.parametrize("name", ["ours", "ours, parallel folds", "tpe", "random", "aggressive, tpe"])
def test_no_search_sees_the_truth(name: str) -> None:
    seen = a_table([0.7, 0.9, 0.6, 0.8, 0.75, 0.85])
    entrant = next(each for each in fixed_entrants(1) if each.name == name)
    one, other = (
        simulate(enter(entrant, Stage(View(seen=seen.of_seed(0), truth=truth)), np.random.default_rng(1)), 2)
        for truth in (np.arange(6.0), -np.arange(6.0))
    )
    assert one == other


def test_a_view_holds_nothing_of_the_other_seed() -> None:
    seen = a_table([0.7, 0.9])
    first, second = take_turns(seen)
    np.testing.assert_array_equal(first.seen.probabilities, seen.probabilities[:1])
    np.testing.assert_allclose(first.truth, seen.scores[1].mean(axis=1))
    np.testing.assert_array_equal(second.seen.seconds, seen.seconds[1:])
    np.testing.assert_allclose(second.truth, seen.scores[0].mean(axis=1))


@pytest.mark.parametrize("parallel", [False, True])
def test_ours_stops_a_clearly_worse_recipe_after_one_fold(parallel: bool) -> None:
    view = take_turns(a_table([0.95, 0.65], per_fold=100))[0]
    moments = simulate(
        enter(Entrant(name="ours", rule="race", parallel=parallel), Stage(view), np.random.default_rng(0)), 1
    )
    folds = view.seen.fold_seconds[0]
    assert moments[-1].choice == 0
    assert moments[-1].device_seconds == folds[0].sum() + folds[1, 0]


def test_parallel_folds_finish_sooner_for_the_same_cost() -> None:
    view = take_turns(a_table([0.9]))[0]
    sequential, parallel = (
        simulate(enter(Entrant(name="", parallel=parallel), Stage(view), np.random.default_rng(0)), 8)[-1]
        for parallel in (False, True)
    )
    assert sequential.device_seconds == parallel.device_seconds
    assert (sequential.seconds, parallel.seconds) == (20.0, 8.0)


def test_a_race_that_remembers_judges_as_the_race() -> None:
    seen = a_table([0.8, 0.85, 0.7, 0.9, 0.5, 0.82, 0.88])
    rules = Rules(num_folds=NUM_FOLDS, objective="tta_accuracy")
    memory = Memory(seen)
    plain, remembering = Race(rules), RememberingRace(rules, memory)
    stopped = 0
    for recipe in range(7):
        jobs = [Job(recipe, 0)]
        plain.begin(jobs[0])
        remembering.begin_recipe(jobs[0], recipe)
        for fold in range(NUM_FOLDS):
            for race in (plain, remembering):
                race.hear(jobs[0], fold, memory.heard(0, recipe, fold))
            verdict = plain.judge(recipe)
            assert remembering.judge(recipe) == verdict
            if not verdict.go_on:
                break
        stopped += not verdict.go_on
        for race in (plain, remembering):
            race.end(recipe, "complete" if verdict.go_on else "stopped")
        repeat = plain.first_repeat(set()) or plain.last_repeat(set())
        assert (remembering.first_repeat(set()) or remembering.last_repeat(set())) == repeat
        if repeat is not None and repeat.seed == 1:
            plain.begin(repeat)
            remembering.begin_recipe(repeat, repeat.number)
            for fold in range(NUM_FOLDS):
                for race in (plain, remembering):
                    race.hear(repeat, fold, memory.heard(1, repeat.number, fold))
        assert remembering.leader() == plain.leader()
        assert remembering.noise() == plain.noise()
        assert remembering.contenders() == plain.contenders()
    assert 1 <= stopped <= 5


def test_rules_of_others() -> None:
    best, right = np.array([0.9, 0.8, 0.85, 0.95, 0.9]), np.ones(100, dtype=bool)
    wrong = np.arange(100) % 10 > 0

    def stops(rule, challenger):  # type: ignore[no-untyped-def]
        return rule(np.array(challenger), best, right, right)

    assert stops(aggressive, [0.87])
    assert not stops(aggressive, [0.89])
    assert stops(forgiving, [0.79])
    assert not stops(forgiving, [0.81])
    assert not stops(signed_ranks(0.3), [0.5])
    assert stops(signed_ranks(0.3), [0.5, 0.4])
    assert not stops(signed_ranks(0.1), [0.5, 0.4, 0.3])
    assert dropping(0.99)(np.array([0.8]), best, wrong, right)
    assert not dropping(0.99)(np.array([0.9]), best, right, right)


def test_signed_ranks_never_stop_the_best() -> None:
    for seed in range(20):
        view = take_turns(a_table([0.8, 0.9, 0.85, 0.8, 0.9, 0.7], per_fold=20, seed=seed))[0]
        entrant = Entrant(name="wilcoxon", rule="signed ranks", threshold=0.3)
        choice = simulate(enter(entrant, Stage(view), np.random.default_rng(seed)), 3)[-1].choice
        means = view.seen.scores[0].mean(axis=1)
        assert means[choice] == means.max()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_signed_ranks_as_optuna() -> None:
    generator, pruner = np.random.default_rng(0), optuna.pruners.WilcoxonPruner(p_threshold=0.3)
    for _ in range(10):
        best, other = generator.integers(60, 100, size=(2, NUM_FOLDS)) / 100
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.add_trial(
            optuna.trial.create_trial(value=best.mean(), intermediate_values=dict(enumerate(best.tolist())))
        )
        trial = study.ask()
        for fold in range(NUM_FOLDS):
            trial.report(other[fold], fold)
            nothing = np.ones(1, dtype=bool)
            assert signed_ranks(0.3)(other[: fold + 1], best, nothing, nothing) == trial.should_prune()


def test_halving_as_ray() -> None:
    generator = np.random.default_rng(0)
    for grace, maximum, factor in ((1, 4, 3), (1, 20, 3), (4, 20, 4)):
        ours, ray = Bracket(grace, maximum, factor), _Bracket(grace, maximum, factor, 0)
        for trial in range(30):
            for epoch, value in enumerate(generator.random(maximum - 1).tolist(), start=1):
                goes_on = ours.goes_on(epoch, value)
                trial_of_ray = type("Trial", (), {"trial_id": str(trial)})()
                assert goes_on == (ray.on_result(trial_of_ray, epoch, value) == "CONTINUE")
                if not goes_on:
                    break
        assert not ours.goes_on(maximum, 1.0)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 12, 40])
def test_densities_as_optunas(count: int) -> None:
    generator = np.random.default_rng(0)
    recipes = [draw_recipe(SPACE, START, generator) for _ in range(60)]
    keys = [key for key in SPACE if "optimizers" not in SPACE[key]]
    space: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(SPACE[key]["choices"])
        if "choices" in SPACE[key]
        else FloatDistribution(SPACE[key]["low"], SPACE[key]["high"], log=SPACE[key]["log"])
        for key in keys
    }

    def represented(rows: np.ndarray) -> dict[str, np.ndarray]:
        return {key: np.array([space[key].to_internal_repr(recipes[row][key]) for row in rows]) for key in keys}

    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    observed, candidates = np.arange(count), np.arange(40, 60)
    optunas = _ParzenEstimator(represented(observed), space, parameters).log_pdf(represented(candidates))
    ours = log_density(coordinates(SPACE, recipes)[0], candidates, observed)
    # Ours leaves out the normal density's constant, and its learning rates range from 0 to 1 on their scale.
    np.testing.assert_allclose(optunas - ours, -np.log(2 * np.pi) - np.log(np.log(1e-2 / 1e-4)), atol=1e-9)


def test_tpe_proposes_each_recipe_once_and_learns() -> None:
    generator = np.random.default_rng(0)
    recipes = [START, *(draw_recipe(SPACE, START, generator) for _ in range(99))]
    tpe = TableTPE(coordinates(SPACE, recipes), generator)
    order = []
    while (recipe := tpe.propose()) is not None:
        order.append(recipe)
        tpe.tell(recipe, "complete", [-abs(np.log(recipes[recipe]["optimizer.learning_rate"] / 3e-3))])
    assert order[0] == 0
    assert sorted(order) == list(range(100))
    distances = [abs(np.log(recipes[recipe]["optimizer.learning_rate"] / 3e-3)) for recipe in order]
    assert np.mean(distances[10:40]) < 0.7 * np.mean(distances[40:])


def test_tpe_ranks_stopped_trials_below_complete_ones() -> None:
    groups = coordinates(SPACE, [START] * 20)
    tpe = TableTPE(groups, np.random.default_rng(0))
    tpe.tell(1, "stopped", [0.99])
    tpe.tell(2, "complete", [0.5])
    tpe.tell(3, "stopped", [0.6, 0.7])
    tpe.tell(4, "failed", [])
    assert sorted(tpe._ended, key=lambda recipe: tpe._ended[recipe], reverse=True) == [2, 3, 1, 4]


def test_stock_picks_the_highest_last_value_or_among_finished_trials() -> None:
    seen = a_table([0.5, 0.6])
    curves = np.zeros_like(seen.accuracy)
    curves[:, 0], curves[:, 1] = [0.5, 0.6, 0.9, 0.7], [0.8, 0.8, 0.8, 0.8]
    seen = replace(seen, accuracy=curves)
    choices = {}
    for pick in ("last reported", "all epochs"):
        stock = Stock(layout="lock step", grace=1, maximum=4, factor=3, pick=pick)  # type: ignore[arg-type]
        search = StockSearch(seen, AtRandom(2, np.random.default_rng(0)), stock)
        choices[pick] = [moment.choice for moment in simulate(search, 1)]
    # Trial 1 is stopped after epoch 3, where trial 0 was better; at its end trial 0 is worse.
    assert choices["last reported"] == [None, 0, 1, 1]
    assert choices["all epochs"] == [None, 0, 0]


def test_fold_after_fold_reports_the_mean_of_the_folds_begun() -> None:
    seen = a_table([0.5])
    curve = np.zeros_like(seen.accuracy)
    curve[0, 0, 0], curve[0, 0, 1] = [0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.6, 0.8]
    stock = Stock(layout="fold after fold", grace=1, maximum=20, factor=3, pick="last reported")
    search = StockSearch(replace(seen, accuracy=curve), AtRandom(1, np.random.default_rng(0)), stock)
    np.testing.assert_allclose(search._values[0, :8], [0.1, 0.2, 0.3, 0.4, 0.3, 0.4, 0.5, 0.6])


@pytest.fixture(scope="module")
def recorded() -> Seen:
    return a_table([0.55, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92])


def test_resampled_tables_are_reproducible(recorded: Seen) -> None:
    components = fit(recorded)
    landscape = Landscape(recorded.space, recorded.recipes, components.level)
    one, again, other = (resample(recorded, components, landscape, 30, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.seen.probabilities, again.seen.probabilities)
    np.testing.assert_array_equal(one.truth, again.truth)
    assert not np.array_equal(one.truth, other.truth)
    assert one.seen.recipes[0] == START
    assert one.seen.accuracy.shape == (3, 30, NUM_FOLDS, NUM_EPOCHS)


def test_resampled_truth_is_the_mean_over_seeds(recorded: Seen) -> None:
    components = fit(recorded)
    landscape = Landscape(recorded.space, recorded.recipes, components.level)
    view = resample(recorded, components, landscape, 200, 0)
    assert abs(np.mean(view.seen.scores.mean(axis=(0, 2)) - view.truth)) < 0.005
    # Recorded recipes are right independently of each other, and so the model should find.
    assert components.difficulty < 0.05
    assert np.all(components.fold < 0.3)


def test_shared_difficulty_is_found() -> None:
    generator = np.random.default_rng(0)
    seen = a_table([0.8] * 10, per_fold=200)
    latent = 0.85 + np.sqrt(0.6) * generator.standard_normal(1000)
    latent = latent + np.sqrt(0.2) * generator.standard_normal((10, 1000))
    right = latent + np.sqrt(0.2) * generator.standard_normal((2, 10, 1000)) > 0
    components = fit(replace(seen, probabilities=np.where(right == seen.labels, 0.9, 0.1)))
    assert components.difficulty == pytest.approx(0.6, abs=0.08)
    assert components.own == pytest.approx(0.2, abs=0.08)


def test_a_record_is_read_as_written_and_reduced(recorded: Seen, tmp_path: Path) -> None:
    folder = a_record(tmp_path / "record", recorded)
    reduce_table(folder, tmp_path / "small", even=False)
    for path in (folder, tmp_path / "small"):
        seen = read_table(path)
        np.testing.assert_array_equal(seen.probabilities, recorded.probabilities)
        np.testing.assert_allclose(seen.accuracy, recorded.accuracy, atol=1e-7)
        np.testing.assert_array_equal(seen.folds, recorded.folds)
        assert seen.recipes == recorded.recipes


def test_a_table_that_is_not_there_or_not_whole(recorded: Seen, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a recorded table, but found no curves\.parquet, "):
        read_table(tmp_path)
    folder = a_record(tmp_path / "record", recorded)
    curves = pd.read_parquet(folder / "curves.parquet")
    curves.iloc[:-1].to_parquet(folder / "curves.parquet")
    with pytest.raises(UserError, match="expected every epoch"):
        read_table(folder)
    with pytest.raises(UserError, match="a table of one seed"):
        take_turns(recorded.of_seed(0))


@pytest.mark.parametrize(("arguments", "label"), [([], "recorded"), (["--recipes", "12"], "resampled")])
def test_the_command(
    arguments: list[str],
    label: str,
    recorded: Seen,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("replaying.NUM_TABLES", 1)
    monkeypatch.setattr("replay.tuned_entrants", few_entrants)
    monkeypatch.setattr(
        "replay.fixed_entrants",
        lambda num_seeds: [each for each in fixed_entrants(num_seeds) if each.name in {*COLORS, ORACLE_IN_SIGHT}],
    )
    folder, results = a_record(tmp_path / "record", recorded), tmp_path / "results"
    shared = ["--table", str(folder), "--results", str(results), "--seeds", "2", "--processes", "1", "--json"]
    assert main([*shared, *arguments]) == 0
    out = capsys.readouterr().out
    last = json.loads(out.splitlines()[-1])
    assert last["table"] == label
    assert last["resampled"] == (label == "resampled")
    assert last["recipes"] == (12 if label == "resampled" else 8)
    assert last["seeds"] == 2
    assert {"cost_ratio_vs_stock", "cost_ratio_vs_random"} < last.keys()
    assert {"random", "stock, tuned for best", "ours"} < last["reached"].keys()
    assert f"a {label} table" in out
    assert f"a {label} table" in (results / f"replay_{label}.md").read_text()
    assert (results / f"replay_{label}.png").stat().st_size > 10_000


def few_entrants(num_folds: int, num_epochs: int) -> dict[str, list[Entrant]]:
    stock = Stock(layout="lock step", grace=1, maximum=num_epochs, factor=3, pick="last reported")
    return {
        "stock": [Entrant(name="stock", stock=stock)],
        "wilcoxon": [Entrant(name="wilcoxon", rule="signed ranks", threshold=0.2)],
        "bbcd": [Entrant(name="bbcd", rule="dropping", threshold=0.99)],
    }


def test_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--table", str(tmp_path)])
    assert "expected a recorded table" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--table", str(tmp_path), "--seeds", "0"])
    assert "--seeds: expected 1 or more, got 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["record", "sample", str(tmp_path / "record"), "--workers", "0"])
    assert "--workers: expected 1 or more, got 0" in capsys.readouterr().err
    assert not (tmp_path / "record").exists()


def played(seen: Seen, rung: FirstRung | None, *, num_workers: int = 1, tpe: bool = False) -> tuple[FoldSearch, float]:
    """Ours with a first rung, run to its end, and its device seconds."""
    stage = Stage(View(seen=seen.of_seed(0), truth=np.zeros(len(seen.recipes))))
    search = enter(Entrant(name="", rule="race", rung=rung, tpe=tpe), stage, np.random.default_rng(0))
    assert isinstance(search, FoldSearch)
    return search, simulate(search, num_workers)[-1].device_seconds


def test_a_rung_costs_its_share_and_a_trial_that_passes_begins_anew() -> None:
    seen = with_rungs(a_table([0.95, 0.9], per_fold=100), [0.9, 0.5])
    folds = seen.fold_seconds[0].sum(axis=1)
    search, cost = played(seen, FirstRung(rule="hopeless"))
    assert isinstance(search, RungFirstSearch)
    assert (search.stopped, search.stopped_by_rung) == ([1], [1])
    assert cost == 2 + folds[0] + 2
    assert played(seen, FirstRung(rule="hopeless", share=0.25))[1] == 1 + folds[0] + 1
    # Without a complete trial both begin without a rung.
    search, cost = played(seen, FirstRung(rule="hopeless", late=True), num_workers=2)
    assert not search.stopped
    assert cost == folds.sum()


def test_repeats_run_no_rung() -> None:
    seen = with_rungs(a_table([0.9]), [0.9])
    entrant = Entrant(name="", rule="race", rung=FirstRung(rule="hopeless"), repeats=1)
    search = enter(entrant, Stage(View(seen=seen, truth=np.zeros(1))), np.random.default_rng(0))
    assert simulate(search, 1)[-1].device_seconds == 2 + seen.fold_seconds[:, 0].sum()


@pytest.mark.parametrize(
    ("rung", "stopped"),
    [
        (FirstRung(rule="hopeless"), []),
        (FirstRung(rule="raced", error=0.0225), [1]),
        (FirstRung(rule="foreseen", error=0.0225), [1]),
        (FirstRung(rule="lowest", lowest=0.5), [1, 2]),
        (FirstRung(rule="lowest", lowest=0.2), [1]),
    ],
    ids=str,
)
def test_what_a_rung_stops(rung: FirstRung, stopped: list[int]) -> None:
    # All recipes are good, but the rung of recipe 1 is far below the others'.
    seen = with_rungs(a_table([0.95, 0.94, 0.93, 0.95, 0.95], per_fold=300), [0.9, 0.66, 0.86, 0.9, 0.91])
    search, _ = played(seen, rung)
    assert isinstance(search, RungFirstSearch)
    assert set(search.stopped_by_rung) <= set(stopped)
    assert (1 in search.stopped_by_rung) == (1 in stopped)


def test_no_rung_does_better_than_one_that_foretells() -> None:
    seen = with_rungs(a_table([0.9, 0.7, 0.5, 0.88, 0.6, 0.91], per_fold=100), [0.6] * 6)
    plain, cost = played(seen, None)
    search, foretold = played(seen, FirstRung(rule="foretelling"))
    assert isinstance(search, RungFirstSearch)
    assert search.stopped == plain.stopped
    assert 1 < len(search.stopped_by_rung) < 6
    # It saves fold 0 of those that it stops, and costs half a fold of each.
    assert foretold == cost + 6 * 2 - 4 * len(search.stopped_by_rung)


def test_the_lowest_first_folds_are_stopped_without_a_rung() -> None:
    seen = a_table([0.9, 0.8, 0.88, 0.7, 0.86, 0.89], per_fold=300)
    stage = Stage(View(seen=seen.of_seed(0), truth=np.zeros(6)))
    search = enter(Entrant(name="", rule="race", lowest=0.5, tpe=False), stage, np.random.default_rng(0))
    assert isinstance(search, FoldSearch)
    simulate(search, 1)
    assert {1, 3} <= set(search.stopped)
    assert len(search.stopped) < 6
    # Each is stopped that falls short of the median of the first folds until then, and none after another fold.
    first = seen.scores[0, search._recipes, 0]
    medians = [np.median(first[: place + 1]) for place in range(6)]
    short = {recipe for recipe, score, median in zip(search._recipes, first, medians, strict=True) if score < median}
    assert short <= set(search.stopped)


def test_rungs_do_not_show_the_truth() -> None:
    seen = with_rungs(a_table([0.7, 0.9, 0.6, 0.8, 0.75, 0.85]), [0.6, 0.8, 0.6, 0.7, 0.7, 0.8])
    for entrant in rung_entrants(2):
        one, other = (
            simulate(enter(entrant, Stage(View(seen=seen, truth=truth)), np.random.default_rng(1)), 2)
            for truth in (np.arange(6.0), -np.arange(6.0))
        )
        assert one == other


def test_what_the_rung_spends_of_the_error_is_taken_from_the_folds() -> None:
    stage = Stage(View(seen=with_rungs(a_table([0.9]), [0.9]), truth=np.zeros(1)))
    entrants = {each.name: each for each in rung_entrants(1)}
    rung = FirstRung(rule="raced", error=0.0225)
    search = enter(entrants[f"{OURS}, {rung}"], stage, np.random.default_rng(0))
    assert search._judge._race.rules.error == pytest.approx(0.0275)  # type: ignore[attr-defined]


def test_deviation_of_gains_is_the_prior_until_there_are_some() -> None:
    assert deviation([0.3]) == PRIOR_DEVIATION
    gains = np.random.default_rng(0).normal(0.1, 0.03, 400).tolist()
    assert deviation(gains) == pytest.approx(0.03, abs=0.003)


def test_rungs_of_a_record_are_read_as_written_and_reduced(recorded: Seen, tmp_path: Path) -> None:
    seen = with_rungs(recorded, [0.7] * len(recorded.recipes))
    folder = a_record(tmp_path / "record", seen)
    reduce_table(folder, tmp_path / "small", even=True)
    for path in (folder, tmp_path / "small"):
        rungs = read_table(path).rungs
        assert rungs is not None
        assert seen.rungs is not None
        assert rungs.share == 0.5
        np.testing.assert_array_equal(rungs.probabilities, seen.rungs.probabilities)
    np.testing.assert_array_equal(read_table(folder).of_seed(1).rung_scores, seen.rung_scores[1:])
    pd.read_parquet(folder / "rungs.parquet").iloc[:-1].to_parquet(folder / "rungs.parquet")
    with pytest.raises(UserError, match="expected one rung of"):
        read_table(folder)


def test_resampled_rungs_leave_the_rest_of_a_table_as_it_is(recorded: Seen) -> None:
    components = fit(recorded)
    landscape = Landscape(recorded.space, recorded.recipes, components.level)
    seen = with_rungs(recorded, [0.55, 0.5, 0.6, 0.6, 0.7, 0.7, 0.8, 0.85])
    without, one = (resample(each, components, landscape, 100, 1) for each in (recorded, seen))
    assert without.seen.rungs is None
    np.testing.assert_array_equal(without.seen.probabilities, one.seen.probabilities)
    np.testing.assert_array_equal(without.truth, one.truth)
    gain, new = (each.scores[0, :, 0].mean() - each.rung_scores[0].mean() for each in (seen, one.seen))
    assert new == pytest.approx(gain, abs=0.04)


def test_agreement_of_rung_and_fold_is_found() -> None:
    generator = np.random.default_rng(0)
    seen = a_table([0.8] * 10, per_fold=300)
    fold = 0.9 + generator.standard_normal((2, 10, 300))
    rung = 0.4 + 0.8 * (fold - 0.9) + 0.6 * generator.standard_normal(fold.shape)
    labels = seen.labels[:300]
    probabilities = seen.probabilities.copy()
    probabilities[:, :, :300] = np.where((fold > 0) == labels, 0.9, 0.1)
    rungs = Rungs(probabilities=np.where((rung > 0) == labels, 0.9, 0.1).astype(np.float32), share=0.5)
    model = fit_rungs(replace(seen, probabilities=probabilities, rungs=rungs))
    assert model is not None
    assert model.agreement == pytest.approx(0.8, abs=0.04)
    assert model.shift.mean() == pytest.approx(-0.5, abs=0.04)
    drawn = draw_rungs(model, fold[0], labels, np.arange(10), generator).probabilities[0]
    assert np.mean((drawn >= 0.5) == labels) == pytest.approx(np.mean(rung[0] > 0), abs=0.03)
    both = np.mean(((drawn >= 0.5) == labels) == (fold[0] > 0))
    assert both == pytest.approx(np.mean((rung[0] > 0) == (fold[0] > 0)), abs=0.03)


def test_the_command_of_rungs(recorded: Seen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = with_rungs(recorded, [0.55, 0.5, 0.6, 0.6, 0.7, 0.7, 0.8, 0.85])
    shared = ["--results", str(tmp_path / "results"), "--seeds", "2", "--processes", "1"]
    for name, table in (("with", seen), ("without", recorded)):
        a_record(tmp_path / name, table)
    assert rung_replay.main(["--table", str(tmp_path / "with"), *shared]) == 0
    written = (tmp_path / "results" / "replay_recorded_rungs.md").read_text()
    assert written in capsys.readouterr().out
    assert all(f"\n| {each.name} | " in written for each in rung_entrants(1))
    with pytest.raises(SystemExit):
        rung_replay.main(["--table", str(tmp_path / "without"), *shared])
    assert "expected a record with rungs.parquet" in capsys.readouterr().err


WANTED = recording.Wanted(
    data="nowhere", settings={"data.size_px": 32}, num_recipes=2, num_folds=2, num_seeds=1, num_images=None
)


class NoPool:
    """In the place of a pool, which would begin its dying workers again and again."""

    def Pool(self, *given: object) -> None:  # noqa: N802
        raise AssertionError("no worker should begin")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "nowhere"),
        ({"num_folds": 99}, "99 folds need at least 99 groups"),
        ({"settings": {"data.crop_px": 64}}, "crop is 64 px"),
    ],
)
def test_what_no_worker_could_read_is_refused_before_a_record_begins(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], message: str
) -> None:
    monkeypatch.setattr(recording.multiprocessing, "get_context", lambda method: NoPool())
    wanted = replace(WANTED, **({"data": str(tiny_folder)} | changes if changes else {}))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        recording.record(wanted, tmp_path / "record", 1)
    with pytest.raises(UserError, match=message):
        recording.record_rungs(wanted, tmp_path / "record", 1, epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_another_record_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "wanted.json").write_text(json.dumps(vars(WANTED) | {"num_folds": 5, "settings": {}}))
    with pytest.raises(
        UserError, match=r"wanted\.json: the .* has another num_folds, settings; choose another folder$"
    ):
        recording.record(WANTED, tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["wanted.json"]


@pytest.mark.parametrize("count", [-5, 0, 99])
def test_too_few_races_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=rf"--races: expected at least 100, got {count}"):
        racing.main(["--races", str(count)])


@pytest.mark.parametrize("count", [-1, 0])
def test_no_kills_at_all_are_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"--times: expected at least 1, got {count}"):
        kills.main(["--times", str(count), "--runs", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []
