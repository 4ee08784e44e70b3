"""The memory plan on a tracked run: what is kept of it, refused by it, and corrected in it."""

import io
import json
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.entities import Run
from rich.console import Console

from fracture.config import TrainConfig
from fracture.errors import MemoryLimitError
from fracture.progress import Terminal
from fracture.runs import session
from fracture.runs.session import Session
from fracture.tracking import experiment
from fracture.training.learner import Learner
from fracture.training.memory import dry_run
from fracture.training.memory.plan import MemoryPlan
from fracture.training.memory.spec import StepSpec, UnpredictableError


def train(images: Path, **values: object) -> str:
    """What was said in a run of a tiny model."""
    fast = {"model": "test_convnext", "image_size": 32, "epochs": 1, "batch_size": 8, "threads": 1}
    chosen = {"memory_format": "contiguous", "weights": "none", "audit": "off", "data": str(images)}
    screen = io.StringIO()
    config = TrainConfig.model_validate(fast | chosen | values)
    session.train(config, Session(Terminal(Console(file=screen, width=200)), None, "again {run}"))
    return screen.getvalue()


def newest() -> Run:
    return mlflow.MlflowClient().search_runs(
        [experiment.current()], order_by=["attributes.start_time DESC"], max_results=1
    )[0]


def artifact(run: Run, name: str) -> str:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=name)).read_text()


def test_the_plan_is_said_and_kept_beside_what_was_measured(store_root: Path, images: Path) -> None:
    said = train(images, memory_limit_gib=8)
    assert "predicted for the process, limit 8.0 GiB; 8 images at once" in said
    run = newest()
    params, metrics = run.data.params, run.data.metrics
    assert (params["plan.micro_batch"], params["plan.accumulation"], params["plan.checkpointing"]) == (
        "8",
        "1",
        "False",
    )
    assert metrics["cost/memory_allocated_gib"] < metrics["cost/memory_gib"] < 8
    kept = MemoryPlan.model_validate_json(artifact(run, "memory.json"))
    assert kept.measured["peak_memory_gib"] == run.data.metrics["cost/peak_memory_gib"]
    assert kept.prediction.process_gib == pytest.approx(metrics["cost/memory_gib"], abs=0.001)


def test_a_limit_below_everything_is_refused_with_exit_code_4(store_root: Path, images: Path) -> None:
    with pytest.raises(MemoryLimitError, match=r"the limit is 0\.50 GiB(.|\n)*memory_limit_gib="):
        train(images, memory_limit_gib=0.5)
    run = newest()
    assert run.info.status == "FAILED"
    assert "the limit is 0.50 GiB" in run.data.tags["fracture.reason"]


def test_a_backbone_that_cannot_be_predicted_trains_without_a_plan(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(spec: StepSpec) -> None:
        raise ValueError("depends on contents")

    monkeypatch.setattr(dry_run, "_record", refuse)
    said = " ".join(train(images).split())
    assert "memory: not planned, since the memory of test_convnext.r160_in1k cannot be predicted" in said
    assert newest().info.status == "FINISHED"
    with pytest.raises(UnpredictableError, match="depends on contents"):
        train(images, memory_limit_gib=8)


def test_a_correction_is_on_the_run_and_in_its_settings(
    store_root: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Learner.backward

    def backward(self: Learner, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.plan.micro_batch == 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(self, inputs, targets)

    monkeypatch.setattr(Learner, "backward", backward)
    said = train(images, memory_limit_gib=8)
    assert "The plan is corrected, once, and the step tried again: 2 micro-batches of 4." in " ".join(said.split())
    run = newest()
    assert run.info.status == "FINISHED"
    assert run.data.tags["fracture.memory_corrected"].startswith("2 micro-batches of 4: ")
    plan = json.loads(artifact(run, "config.json"))["plan"]
    assert (plan["micro_batch"], plan["accumulation"], plan["memory_corrected"]) == (4, 2, True)
