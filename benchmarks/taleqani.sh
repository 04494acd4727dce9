#!/usr/bin/env bash
# The whole way on real images: a search on Taleqani's train.csv, killed in the middle, resumed, its winner retrained and
# scored on test.csv beside the retrained starting recipe, and every trial's record compared in all three places.
#
#     benchmarks/taleqani.sh DATA [RUNS]     DATA holds taleqani/train.csv and taleqani/test.csv
#
# About 25 minutes on two cores without a GPU.
set -euo pipefail
data=${1:?"the folder that holds taleqani/"}
runs=${2:-runs}
study=taleqani-$(date -u +%Y%m%d-%H%M%S)
python=${PYTHON:-python}

search=("$python" -m search.run --runs "$runs" --study "$study")

# Small views and few epochs, so that two processors are enough; depth and shortcut are fixed for the same reason.
"${search[@]}" --data "$data/taleqani/train.csv" --trials 6 --folds 3 \
    --set data.size_px=64 --set train.epochs=10 --set model.depth=18 --set model.shortcut=add &
driver=$!

# In the middle: when the eighth of eighteen folds is done.
until [ "$(find "$runs/$study/trials" -name 'fold_*.json' 2>/dev/null | wc -l)" -ge 8 ]; do
    kill -0 "$driver" || { echo "the search ended before it could be killed" >&2; exit 1; }
    sleep 1
done
kill -9 "$driver"
wait "$driver" || echo "driver killed with status $?"

"${search[@]}" --resume
"$python" benchmarks/agreement.py "$runs/$study"
"$python" -m leukemia.final --best "$study" --runs "$runs" --test "$data/taleqani/test.csv" --against-start
"$python" - "$runs/$study/final/metrics.json" <<'END'
import json, sys

metrics = json.load(open(sys.argv[1]))
accuracy, difference = metrics["test"]["balanced_accuracy"], metrics["difference"]["balanced_accuracy"]
print(f"balanced accuracy {accuracy['value']:.4f} ({accuracy['low']:.4f} to {accuracy['high']:.4f}), at least 0.93 wanted")
print(f"minus the start {difference['value']:+.4f} ({difference['low']:+.4f} to {difference['high']:+.4f}), above -0.05 wanted")
sys.exit(not (accuracy["value"] >= 0.93 and difference["low"] > -0.05))
END
