#!/usr/bin/env bash
# The whole story: train two backbones, compare them, promote one, serve it, challenge it with the other, roll back.
#
#   bash docs/story.sh                                          # on the demo set, with thresholds for demonstrations
#   DATA=/path/to/images THRESHOLDS=default bash docs/story.sh  # on real images, with thresholds that mean something
set -euo pipefail

MODELS=${MODELS:-tf_efficientnet_lite0,swin} # two, with a comma
DATA=${DATA:-demo}                           # a folder of classes, a manifest, or demo
MORE=${MORE:-}                               # more knobs of training, as --epochs=3
THRESHOLDS=${THRESHOLDS:-demo}               # demo lets any score pass: nothing that passes it may be deployed
WAIVE=${WAIVE:-}                             # as --waive confounded --reason known --by me
MARGIN=${MARGIN:-0.02}                       # of balanced accuracy that the challenger may be worse by
PORT=${PORT:-8000}

# train both on the same data, and see how they differ
# shellcheck disable=SC2086
fracture train --model="$MODELS" --data="$DATA" $MORE
fracture compare

# the best on validation passes the gates, becomes the candidate, and, as there is no champion yet, the first one
# shellcheck disable=SC2086
python -m registry promote --thresholds="$THRESHOLDS" $WAIVE
python -m registry challenge

# serve the champion, and ask it
fracture serve models:/fracture-classifier@champion --port="$PORT" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
curl --silent --show-error --retry 90 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$PORT/healthz"
image=$(python -c "from PIL import Image; Image.linear_gradient('L').save('story.png'); print('story.png')")
curl --silent --show-error --fail -F "files=@$image" "http://127.0.0.1:$PORT/predict"
kill -TERM $server
wait $server

# the other one challenges it; losing ends with exit code 5, and the champion stays
other=$(python -c "
import mlflow
champion = mlflow.MlflowClient().get_model_version_by_alias('fracture-classifier', 'champion').run_id
runs = mlflow.search_runs(filter_string='tags.\"fracture.kind\" = \"train\" and attributes.status = \"FINISHED\"')
print(next(run for run in runs.run_id if run != champion))")
# shellcheck disable=SC2086
python -m registry promote "$other" --thresholds="$THRESHOLDS" $WAIVE
if python -m registry challenge --margin="$MARGIN"; then
  python -m registry rollback --reason "worse in use"
fi

# aliases, history, versions and their runs agree; the card of the champion, and who did what
python -m registry verify
python -m registry show
