"""An epoch in each precision, fp16 with its scaler among them, and of each of the four backbones."""

import argparse
from pathlib import Path

import mlflow

from fracture.commands.train import command
from tests.gpu.card import emit


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    small = ["--demo-images", "60" if options.tiny else "200", "--weights", "none", "--recipe", "seed", "--epochs", "1",
             "--audit", "off", "--cache-dir", str(Path("cache").absolute())]  # fmt: skip
    one = "test_resnet" if options.tiny else "resnet18"
    precisions = ("fp32", "bf16") if options.tiny else ("fp32", "bf16", "fp16")
    for words in [["--model", one, "--precision", precision] for precision in precisions] + [
        ["--model", "test_resnet,test_efficientnet" if options.tiny else "all", "--batch-size", "8"]
    ]:
        problem = ""
        try:
            command.main([*small, *words], standalone_mode=False)
        except Exception as error:  # noqa: BLE001 - the row says it
            problem = str(error)[:200]
        wanted = len(words[1].split(",")) if words[1] != "all" else 4
        found = mlflow.search_runs(
            output_format="list", filter_string="tags.`fracture.kind` = 'train'",
            order_by=["attributes.start_time DESC"], max_results=wanted,
        )  # fmt: skip
        for run in found:
            metrics = run.data.metrics  # type: ignore[union-attr]
            emit(
                model=run.data.tags["fracture.model"], precision=run.data.params["plan.precision"],  # type: ignore[union-attr]
                status=run.info.status, train_loss=metrics.get("train/loss"), val_loss=metrics.get("val/loss"),  # type: ignore[union-attr]
                **{"images/s": metrics.get("cost/images_per_second"), "reserved": metrics.get("cost/peak_memory_gib")},
                problem=problem, holds=run.info.status == "FINISHED" and not problem,  # type: ignore[union-attr]
            )  # fmt: skip


if __name__ == "__main__":
    main()
