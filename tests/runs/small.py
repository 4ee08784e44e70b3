"""The smallest real training run, and a screen that can be read."""

import io
from pathlib import Path

from rich.console import Console

from fracture.config import TrainConfig
from fracture.evaluation.config import EvaluateConfig
from fracture.progress import Terminal
from fracture.runs import session
from fracture.runs.session import Session
from fracture.tracking import query

QUICK = EvaluateConfig(threads=1, batch_size=8)


def terminal() -> Terminal:
    return Terminal(Console(file=io.StringIO(), width=400))


def said(by: Terminal) -> str:
    return by.console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def config(data: Path, **values: object) -> TrainConfig:
    quick = {"model": "test_resnet", "image_size": 32, "epochs": 2, "batch_size": 8, "threads": 1, "weights": "none"}
    chosen = {"memory_format": "contiguous", "precision": "fp32", "data": str(data), "audit": "off", "lr": 0.003}
    return TrainConfig.model_validate(quick | chosen | values)


def train(data: Path, screen: Terminal | None = None, **values: object) -> str:
    """Train; returns the run's id."""
    session.train(config(data, **values), Session(screen or terminal(), None, "again {run}"))
    return query.finished(["train"])[0].id
