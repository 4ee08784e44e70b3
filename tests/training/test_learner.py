"""One step of learning: what moves and what stays, and what the averages of weights are."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fracture.config import TrainConfig
from fracture.data.batches import Normalize
from fracture.errors import ConfigError
from fracture.models import backbones
from fracture.models.pyramid import SCALES
from fracture.training import execution
from fracture.training.learner import Learner


def learner(model: nn.Module | None = None, **values: object) -> Learner:
    config = TrainConfig.model_validate(
        {"model": "test_efficientnet", "batch_size": 4, "threads": 1, "memory_format": "contiguous"} | values
    )
    torch.manual_seed(0)
    if model is None:
        scales = SCALES if config.features == "pyramid" else ()
        model = backbones.build(backbones.find(config.model), 3, scales=scales)
    plan = execution.resolve(config, 64, synthetic=False)
    return Learner(model, config, plan, Normalize((0.5,) * 3, (0.5,) * 3), np.array([3, 4, 5]), 2)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 64, 64), generator=generator, dtype=torch.uint8), torch.arange(4) % 3


HEAD, STATISTICS, REST = "head", "statistics", "rest"


def part(name: str) -> str:
    if name.startswith("classifier"):
        return HEAD
    return STATISTICS if name.endswith(("running_mean", "running_var", "num_batches_tracked")) else REST


@pytest.mark.parametrize(
    ("wanted", "moves"),
    [
        ({"trained": "all"}, {HEAD, STATISTICS, REST}),
        ({"trained": "head"}, {HEAD}),
        ({"trained": "backbone", "head": "probe"}, {REST}),
        (
            {"trained": "backbone", "head": "probe", "optimizer": "adamw", "layer_decay": 0.9, "weight_decay": 0.1},
            {REST},
        ),
    ],
)
@pytest.mark.parametrize("features", ["backbone", "pyramid"])
def test_what_a_step_moves(wanted: dict[str, object], moves: set[str], features: str) -> None:
    made = learner(features=features, **wanted)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    for number in range(2):
        made.step(*batch(), seed=number, number=number)
    after = made.model.state_dict()
    assert {part(name) for name in before if not torch.equal(before[name], after[name])} == moves
    assert set(after) == set(before)


def test_layers_below_the_cut_off_stay() -> None:
    made = learner(features="pyramid", head="probe", trained="backbone", layer_decay=0.5, layer_decay_cutoff=0.3)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    made.step(*batch(), seed=0, number=0)
    after = made.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "backbone.conv_head.weight" in moved
    assert not any(name.startswith(("backbone.conv_stem", "backbone.blocks.0")) for name in moved)
    assert all(parameter.grad is None for name, parameter in made.model.named_parameters() if name not in moved)


def test_the_mirror_image_is_not_learned_from() -> None:
    made = learner(features="pyramid", head="probe", trained="backbone")
    seen: list[int] = []
    read = made.model.forward_features
    made.model.forward_features = lambda x: (seen.append(len(x)), read(x))[1]  # type: ignore[assignment, func-returns-value]
    made.step(*batch(), seed=0, number=0)
    assert seen == [4]


@pytest.mark.parametrize("trained", ["head", "backbone"])
def test_a_head_that_is_not_linear_is_refused(trained: str) -> None:
    class Curved(nn.Module):
        def get_classifier(self) -> nn.Module:
            return nn.Sequential(nn.Linear(2, 2))

    with pytest.raises(ConfigError, match=rf"trained={trained}: the last layer .* use trained=all"):
        learner(Curved(), trained=trained, head="probe")


def test_an_average_over_all_steps_is_their_mean() -> None:
    made = learner(ema_decay=1.0, lr=0.01)
    seen = []
    for number in range(5):
        made.step(*batch(), seed=number, number=number)
        seen.append({name: value.clone() for name, value in made.model.named_parameters()})
    for name, value in made.evaluated.named_parameters():
        mean = torch.stack([one[name] for one in seen]).mean(0)
        torch.testing.assert_close(value, mean)


def test_a_moving_average_follows_the_newest_steps() -> None:
    made = learner(ema_decay=0.5, lr=0.01)
    for number in range(5):
        before = {name: value.clone() for name, value in made.evaluated.named_parameters()}
        made.step(*batch(), seed=number, number=number)
    for name, value in made.model.named_parameters():
        torch.testing.assert_close(dict(made.evaluated.named_parameters())[name], (before[name] + value) / 2)
