"""A study of twelve trials under the limit, whose larger batches do not fit: no trial runs out of memory."""

import argparse
import subprocess
import sys
from collections import Counter

import mlflow

from tests.gpu.card import LIMIT_GIB, emit, watched


def main() -> None:
    """Search, and look at every trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    model, size, images, trials = ("test_resnet", "64", "60", "4") if options.tiny else ("resnet50", "224", "400", "12")
    command = [sys.executable, "-m", "tuning", "--model", model, "--image-size", size, "--demo-images", images,
               "--weights", "none", "--epochs", "1", "--audit", "off", "--trials", trials, "--batch-low", "16",
               "--batch-high", "256", "--memory-limit-gib", str(LIMIT_GIB), "--precision", "fp32",
               "--train-best", "false"]  # fmt: skip
    with watched() as card:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout[-4000:], done.stderr[-2000:], flush=True)
    runs = mlflow.search_runs(
        search_all_experiments=True, output_format="list", filter_string="tags.`fracture.kind` = 'trial'"
    )
    states = Counter(run.data.tags.get("fracture.trial_state", "none") for run in runs)
    lacked = sum("memory" in run.data.tags.get("fracture.reason", "").lower() for run in runs)
    batches = Counter(run.data.params["batch_size"] for run in runs)
    left_out = sum(" no " in line for line in done.stdout.splitlines() if "predicted" not in line and "│" in line)
    emit(
        trials=len(runs), states=dict(states), **{"out of memory": lacked, "batches tried": dict(batches)},
        **{"batches that do not fit": left_out, "process": card.peak}, exit=done.returncode,
        holds=done.returncode == 0 and lacked == 0 and len(runs) >= int(trials),
    )  # fmt: skip


if __name__ == "__main__":
    main()
