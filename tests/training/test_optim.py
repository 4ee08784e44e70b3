"""The optimiser's groups and the schedule's rates."""

import itertools
import math

import pytest
import torch

from fracture.config import TrainConfig
from fracture.models import backbones
from fracture.training.optim import Schedule, factor, make_optimizer

SMALL = ["test_efficientnet", "test_convnext2", "test_vit", "test_resnet"]


def groups(name: str, **settings: object) -> tuple[dict[str, torch.Tensor], dict[int, dict[str, object]]]:
    """A model's parameters by name, and the optimiser's group of each by identity."""
    torch.manual_seed(0)
    model = backbones.build(backbones.find(name), 3)
    optimizer = make_optimizer(model, TrainConfig(**settings))  # type: ignore[arg-type]
    held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(held)
    return dict(model.named_parameters()), held


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_that_was_asked_for(name: str, kind: type) -> None:
    config = TrainConfig(optimizer=name, lr=3e-4, weight_decay=0.05)  # type: ignore[arg-type]
    optimizer = make_optimizer(torch.nn.Linear(3, 2), config)
    assert type(optimizer) is kind
    assert optimizer.defaults["fused"]
    assert {group["lr"] for group in optimizer.param_groups} == {3e-4}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("layer_decay", [1.0, 0.75])
def test_no_decay_on_norms_biases_and_grn(name: str, layer_decay: float) -> None:
    parameters, held = groups(name, weight_decay=0.05, layer_decay=layer_decay)
    assert held.keys() == {id(p) for p in parameters.values()}
    for key, p in parameters.items():
        free = p.ndim <= 1 or key.endswith(".bias") or key in ("pos_embed", "cls_token")
        assert held[id(p)]["weight_decay"] == (0.0 if free else 0.05), key


def test_grn_is_among_what_is_not_decayed() -> None:
    parameters, held = groups("convnextv2_atto", weight_decay=0.05)
    grn = [p for key, p in parameters.items() if ".grn." in key]
    assert grn
    assert {held[id(p)]["weight_decay"] for p in grn} == {0.0}


def test_decay_moves_weights_and_leaves_biases() -> None:
    layer = torch.nn.Linear(3, 2)
    before = {key: p.detach().clone() for key, p in layer.named_parameters()}
    optimizer = make_optimizer(layer, TrainConfig(optimizer="adamw", lr=0.1, weight_decay=0.5))
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(layer.weight, before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(layer.bias, before["bias"])


@pytest.mark.parametrize("name", SMALL)
def test_rates_fall_from_layer_to_layer(name: str) -> None:
    parameters, held = groups(name, lr=0.01, layer_decay=0.5)
    rates = {key: float(held[id(p)]["lr"]) for key, p in parameters.items()}  # type: ignore[arg-type]
    keys = list(rates)
    assert max(rates.values()) == rates[keys[-1]] == pytest.approx(0.01)  # the head
    assert rates[keys[0]] == min(rates.values()) < 0.01 / 2**2
    steps = {round(math.log2(0.01 / rate), 6) for rate in rates.values()}
    assert steps == set(range(len(steps)))  # powers of the factor, none left out


def test_without_layer_decay_all_rates_are_the_same() -> None:
    _, held = groups("test_vit", lr=0.01)
    assert {group["lr"] for group in held.values()} == {0.01}


@pytest.mark.parametrize(
    ("step", "warmup", "total", "cosine", "expected"),
    [
        (0, 0, 10, False, 1.0),
        (9, 0, 10, False, 1.0),
        (0, 4, 10, False, 0.2),
        (3, 4, 10, False, 0.8),
        (4, 4, 10, False, 1.0),
        (0, 0, 10, True, 1.0),
        (5, 0, 10, True, 0.5),
        (10, 0, 10, True, 0.0),
        (0, 4, 10, True, 0.2),
        (4, 4, 10, True, 1.0),
        (7, 4, 10, True, 0.5),
        (10, 4, 10, True, 0.0),
        (0, 10, 10, True, 1 / 11),
        (10, 10, 10, True, 1.0),
    ],
)
def test_factors(step: int, warmup: int, total: int, cosine: bool, expected: float) -> None:
    assert factor(step, warmup, total, cosine) == pytest.approx(expected, abs=1e-12)


def trained(config: TrainConfig, epochs: int, steps: int) -> list[float]:
    """The rate of every step."""
    optimizer = make_optimizer(torch.nn.Linear(3, 2), config)
    schedule = Schedule(optimizer, config, epochs, steps)
    rates = []
    for _ in range(epochs):
        for _ in range(steps):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(1.0)
    return [*rates, float(optimizer.param_groups[0]["lr"])]


def test_cosine_warms_up_step_by_step_and_ends_at_zero() -> None:
    rates = trained(TrainConfig(scheduler="cosine", warmup_epochs=1, lr=0.1), 4, 5)
    assert rates[:6] == pytest.approx([0.1 * (i + 1) / 6 for i in range(5)] + [0.1])
    assert all(a > b for a, b in itertools.pairwise(rates[5:]))
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert min(rates[:-1]) > 0


def test_constant_stays() -> None:
    assert set(trained(TrainConfig(scheduler="constant", lr=0.1), 3, 4)) == {0.1}


def test_layers_keep_their_ratio_on_the_way() -> None:
    torch.manual_seed(0)
    config = TrainConfig(scheduler="cosine", warmup_epochs=1, layer_decay=0.5, lr=0.1)
    optimizer = make_optimizer(backbones.build(backbones.find("test_vit"), 3), config)
    schedule = Schedule(optimizer, config, 3, 2)
    first = [group["lr"] for group in optimizer.param_groups]
    optimizer.step()
    schedule.after_step()
    ratios = [group["lr"] / before for group, before in zip(optimizer.param_groups, first, strict=True)]
    assert ratios == pytest.approx([2.0] * len(ratios))


def test_plateau_drops_the_rate_after_patience_epochs_without_a_better_loss() -> None:
    config = TrainConfig(scheduler="plateau", plateau_patience=2, plateau_factor=0.5, lr=0.1)
    optimizer = make_optimizer(torch.nn.Linear(3, 2), config)
    schedule = Schedule(optimizer, config, 10, 5)
    rates = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.5):
        for _ in range(5):
            schedule.after_step()
        schedule.after_epoch(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("scheduler", ["plateau", "cosine", "constant"])
def test_a_schedule_goes_on_where_it_was(scheduler: str, tmp_path: object) -> None:
    config = TrainConfig(scheduler=scheduler, lr=0.1, plateau_patience=1)  # type: ignore[arg-type]

    def fresh() -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = make_optimizer(torch.nn.Linear(3, 2), config)
        return optimizer, Schedule(optimizer, config, 6, 2)

    def go(optimizer: torch.optim.Optimizer, schedule: Schedule, epochs: int) -> list[float]:
        rates = []
        for _ in range(epochs):
            for _ in range(2):
                optimizer.step()
                schedule.after_step()
            schedule.after_epoch(1.0)
            rates.append(float(optimizer.param_groups[0]["lr"]))
        return rates

    whole = go(*fresh(), 6)
    optimizer, schedule = fresh()
    begun = go(optimizer, schedule, 3)
    torch.save({"o": optimizer.state_dict(), "s": schedule.state_dict()}, f"{tmp_path}/state.pth")
    state = torch.load(f"{tmp_path}/state.pth", weights_only=True)
    optimizer, schedule = fresh()
    optimizer.load_state_dict(state["o"])
    schedule.load_state_dict(state["s"])
    assert begun + go(optimizer, schedule, 3) == pytest.approx(whole)
