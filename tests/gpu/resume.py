"""A run that is killed with kill -9 and taken up again, against one that is not: the same metrics, or the same bits."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow

from tests.gpu.card import emit

TOLERANCE = 0.02  # of the loss on validation; kernels add in another order each time
EPOCHS = 3


def main() -> None:
    """Without and with deterministic=true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    Path("MLproject").touch()
    model, size, images = ("test_resnet", "64", "60") if options.tiny else ("resnet18", "224", "240")
    for deterministic in ("true", "false"):
        words = ["--model", model, "--image-size", size, "--demo-images", images, "--epochs", str(EPOCHS), "--weights",
                 "none", "--recipe", "seed", "--audit", "off", "--memory-format", "contiguous", "--deterministic",
                 deterministic]  # fmt: skip
        whole, cut = finished(words), killed(words)
        same = whole.data.tags["fracture.weights_sha256"] == cut.data.tags["fracture.weights_sha256"]
        losses = [run.data.metrics["val/loss"] for run in (whole, cut)]
        holds = same if deterministic == "true" else abs(losses[0] / losses[1] - 1) <= TOLERANCE
        emit(
            deterministic=deterministic, **{"val_loss whole": losses[0], "val_loss resumed": losses[1]},
            **{"same weights": same, "seconds an epoch": whole.data.metrics["cost/epoch_seconds"]}, holds=holds,
        )  # fmt: skip


def finished(words: list[str]) -> mlflow.entities.Run:
    """The run of a whole training."""
    subprocess.run(_command(words), check=True)
    return _newest()


def killed(words: list[str]) -> mlflow.entities.Run:
    """The run of a training that is killed after its first epoch and taken up again."""
    process = subprocess.Popen(_command(words), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            time.sleep(0.2)  # into the second
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    run_id = _newest().info.run_id
    subprocess.run(_command(["--resume", run_id]), check=True)
    return mlflow.get_run(run_id)


def _command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "fracture", "train", *words]


def _newest() -> mlflow.entities.Run:
    found = mlflow.search_runs(
        search_all_experiments=True, output_format="list", order_by=["attributes.start_time DESC"], max_results=1
    )
    return found[0]  # type: ignore[no-any-return, index]


if __name__ == "__main__":
    main()
