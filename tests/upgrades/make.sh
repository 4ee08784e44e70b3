#!/usr/bin/env bash
# What a version leaves behind, small, as the next versions must be able to read it: kept as store-YEAR-MONTH.tar.xz.
#
#   bash tests/upgrades/make.sh CHECKOUT FILE.tar.xz     # CHECKOUT is that of the version, its requirements are installed
set -euo pipefail
kept=$(realpath "$2")
folder=$(mktemp -d) checkout=$(mktemp -d)
trap 'rm -rf "$folder" "$checkout"' EXIT
git -C "$1" archive HEAD | tar -x -C "$checkout" # without its history, so that no address of it is written down
cd "$folder"
export PYTHONPATH=$checkout FRACTURE_CACHE_DIR=$folder/cache FRACTURE_USER=somebody OMP_NUM_THREADS=1 MLFLOW_DISABLE_TELEMETRY=true
unset MLFLOW_TRACKING_URI
touch MLproject

# images whose brightness tells the class, and weights that compress: few values, or zeros only
python - <<'PYTHON'
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image

rng = np.random.default_rng(0)
for k, name in enumerate(("comminuted_fracture", "no_fracture", "simple_fracture")):
    folder = Path("images") / name
    folder.mkdir(parents=True)
    for i in range(12):
        pixels = 60 + 60 * k + rng.normal(0, 6, (4, 4)).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"p{k}{i:02d}.png")
torch.manual_seed(0)
state = timm.create_model("test_efficientnet", num_classes=1000).state_dict()
torch.save({k: (v * 4).round() / 4 if v.is_floating_point() else v for k, v in state.items()}, "few.pth")
torch.save({k: torch.zeros_like(v) for k, v in state.items()}, "zeros.pth")
PYTHON
python -m fracture prepare images --out prepared.csv
settings=(--data prepared.csv --model test_efficientnet --image-size 32 --batch-size 8 --threads 1 --precision fp32
  --memory-format contiguous --audit off --recipe seed)

# a run that ended, one that was interrupted, a study
python -m fracture train "${settings[@]}" --weights few.pth --epochs 2 --lr 1e-30
run=$(python -c "import sqlite3; print(*sqlite3.connect('mlflow.db').execute('SELECT run_uuid FROM runs').fetchone())")
python -m fracture train "${settings[@]}" --weights zeros.pth --epochs 2000 --early-stop-patience 0 --lr 1e-30 &
until ls mlruns/state/*/state.pt 2>/dev/null; do sleep 0.1; done
kill -INT $!
wait $! || true
python -m tuning "${settings[@]}" --weights zeros.pth --epochs 1 --trials 1 --lr 1e-5 --batch-high 8 --pruner none

# a champion, and its answers
python -m registry promote "$run" --thresholds demo --waive audit --waive confounded --reason "a test" --by somebody
python -m registry challenge
python -m fracture predict models:/fracture-classifier@champion images --out answers.csv

rm -rf few.pth mlruns/0/*/artifacts/{figures,report.html,*.png}
tar --owner=0 --group=0 -cJf "$kept" .
