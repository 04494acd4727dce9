#!/usr/bin/env bash
# Racing against none, on real images: two searches of the same recipes with the same seeds, one raced, one not. Prints
# device time and winner of both, and whether a recipe that the race stopped would have won.
#
#     benchmarks/raced.sh DATA [RUNS]     DATA holds taleqani/train.csv
#
# About 20 minutes on two idle cores without a GPU.
set -euo pipefail
data=${1:?"the folder that holds taleqani/"}
runs=${2:-runs}
name=raced-$(date -u +%Y%m%d-%H%M%S)
python=${PYTHON:-python}

# Eight trials: Optuna draws the first ten at random, whatever the earlier ones scored, so both lists are the same.
search=("$python" -m search.run --data "$data/taleqani/train.csv" --runs "$runs" --trials 8 --folds 4 --address local
    --preset debug --set data.size_px=32 --set train.epochs=6 --set model.depth=18 --set model.shortcut=add)
"${search[@]}" --study "$name-all" --no-racing --repeats 1
"${search[@]}" --study "$name-raced" --repeats 1
"$python" benchmarks/agreement.py "$runs/$name-all"
"$python" benchmarks/agreement.py "$runs/$name-raced"
"$python" - "$runs/$name-all" "$runs/$name-raced" <<'END'
import sys
from pathlib import Path

from leukemia.best import Best
from leukemia.ledger import ledger_of
from leukemia.study import Study

every, raced = (Study.open(Path(folder)) for folder in sys.argv[1:])
assert [every.recipe(n) for n in every.trials()] == [raced.recipe(n) for n in raced.trials()], "other recipes"
for study in (every, raced):
    best = Best.load(study.folder / "best.json")
    print(f"{study.name}: winner {best.trial}, raw {best.score['raw']:.4f}, headline {best.score['headline']}")
    print(f"  {ledger_of(study).describe()}")
full = {number: every.end(number)["score"] for number in every.trials()}
print("scores without racing:", {number: score and round(score, 4) for number, score in full.items()})
stopped = [number for number in raced.trials() if raced.end(number)["state"] == "stopped"]
for number in stopped:
    print(f"stopped {number:04d}: {raced.end(number)['reason']}; without racing it scored {full[number]}")
for number in raced.trials():
    for fold in raced.folds_done(number, 0):
        assert raced.fold(number, 0, fold)["scores"] == every.fold(number, 0, fold)["scores"], "other numbers"
print("every fold that both ran has equal scores")
winner = max((score, -number) for number, score in full.items() if score is not None)
print(f"a stopped recipe would have won: {'yes' if -winner[1] in stopped else 'no'}")
END
