"""An ensemble as one network: what it answers is the mean of its members' answers, whatever each of them reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fracture.data.batches import Normalize, to_float
from fracture.inference.predictor import Predictor
from fracture.models import backbones, checkpoint
from fracture.models.activation import activation_maps
from fracture.models.ensemble import PLAIN, Ensemble, Member

CLASSES = ("comminuted_fracture", "no_fracture", "simple_fracture")


def member(weight: float, size: int, scales: tuple[float, ...] = (), name: str = "test_resnet") -> Member:
    one = backbones.find(name)
    return Member(
        run="r", weight=weight, model=one.name, image_size=size, scales=scales, mean=one.mean, std=one.std,
        temperature=1 + weight, license="none",
    )  # fmt: skip


def sidecar(members: tuple[Member, ...], state: dict[str, torch.Tensor]) -> checkpoint.Sidecar:
    return checkpoint.Sidecar(
        model="ensemble", members=members, classes=CLASSES, healthy="no_fracture", image_size=64, mean=PLAIN[0],
        std=PLAIN[1], parameters=1, weights_sha256=checkpoint.weights_sha256(state), epoch=1, synthetic=True,
        license="none",
    )  # fmt: skip


def made(*members: Member) -> tuple[list[nn.Module], Ensemble]:
    torch.manual_seed(0)
    networks = [
        backbones.build(backbones.find(one.model), len(CLASSES), size=one.image_size, scales=one.scales).eval()
        for one in members
    ]
    return networks, Ensemble(networks, members).eval()


@pytest.fixture
def squares() -> np.ndarray:
    smooth = np.random.default_rng(0).normal(128, 40, (3, 16, 16)).clip(0, 255)
    return smooth.repeat(4, 1).repeat(4, 2).astype(np.uint8)


def own_answers(networks: list[nn.Module], members: tuple[Member, ...], squares: np.ndarray) -> torch.Tensor:
    """The weighted mean of the members' calibrated probabilities, each asked as a model of its own."""
    total = torch.zeros(len(squares), len(CLASSES))
    for network, one in zip(networks, members, strict=True):
        with torch.inference_mode():
            logits = network(Normalize(one.mean, one.std)(to_float(torch.from_numpy(squares))))
        total += one.weight * (logits / one.temperature).softmax(1)
    return total


def test_it_answers_the_weighted_mean_of_calibrated_probabilities(squares: np.ndarray) -> None:
    members = (member(0.7, 64), member(0.3, 64, (1.0, 0.6), "test_efficientnet"))
    networks, ensemble = made(*members)
    found = Predictor(ensemble, sidecar(members, ensemble.state_dict())).logits(squares)
    expected = own_answers(networks, members, squares)
    torch.testing.assert_close(torch.from_numpy(found).softmax(1), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.from_numpy(found).exp(), expected, atol=1e-6, rtol=0)


def test_a_member_that_reads_smaller_squares_is_given_those(squares: np.ndarray) -> None:
    members = (member(0.0, 64), member(1.0, 32))
    networks, ensemble = made(*members)
    x = to_float(torch.from_numpy(squares)).expand(-1, 3, -1, -1)
    assert ensemble.seen(x, members[1]).shape[-1] == 32
    found = ensemble(x).softmax(1)
    with torch.inference_mode():
        alone = (networks[1](ensemble.seen(x, members[1])) / members[1].temperature).softmax(1)
    torch.testing.assert_close(found, alone, atol=1e-6, rtol=0)


def test_it_is_saved_and_read_like_a_single_model(squares: np.ndarray, tmp_path: Path) -> None:
    members = (member(0.4, 64), member(0.6, 32, (1.0, 0.6), "test_efficientnet"))
    _, ensemble = made(*members)
    state = ensemble.state_dict()
    known = sidecar(members, state)
    checkpoint.save(tmp_path / "best.pth", state, known)
    loaded, read = checkpoint.load(tmp_path / "best.pth")
    assert read == known
    expected = Predictor(ensemble, known).logits(squares)
    np.testing.assert_array_equal(Predictor(loaded, read).logits(squares), expected)
    Predictor(loaded, read).save(tmp_path / "packaged")
    np.testing.assert_array_equal(Predictor.load(tmp_path / "packaged").logits(squares), expected)


def test_other_weights_of_the_mixture_are_another_model() -> None:
    one, other = (made(member(w, 32), member(1 - w, 32))[1].state_dict() for w in (0.5, 0.6))
    assert checkpoint.weights_sha256(one) != checkpoint.weights_sha256(other)


def test_its_maps_are_the_weighted_mean_of_its_members(squares: np.ndarray) -> None:
    members = (member(0.7, 64), member(0.3, 64))
    networks, ensemble = made(*members)
    x = to_float(torch.from_numpy(squares)).expand(-1, 3, -1, -1)
    found = activation_maps(ensemble, x, [0, 1, 2])
    parts = [
        one.weight * activation_maps(network, ensemble.seen(x, one), [0, 1, 2])
        for network, one in zip(networks, members, strict=True)
    ]
    expected = parts[0] + parts[1]
    torch.testing.assert_close(found, expected / expected.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12))
    assert Predictor(ensemble, sidecar(members, ensemble.state_dict())).heat_map(squares[0], CLASSES[0])
