"""What tests of training share: a machine without GPU, a small model and its plan."""

import pytest
import torch

from fracture.config import TrainConfig
from fracture.models import backbones
from fracture.training.execution import Plan, resolve


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def model() -> torch.nn.Module:
    """A small backbone of timm."""
    torch.manual_seed(0)
    return backbones.build(backbones.find("test_efficientnet"), 3)


@pytest.fixture
def plan(no_gpu: None) -> Plan:
    """Resolved for such a machine, 64 px."""
    return resolve(TrainConfig(precision="fp32", threads=1), 64, synthetic=False)
