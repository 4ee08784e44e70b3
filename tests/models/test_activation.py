"""Activation maps: they show what the answer rests on, whatever the shape of the features."""

import pytest
import timm
import torch

from fracture.models.activation import activation_maps
from fracture.models.joined import Joined


class Spotter(torch.nn.Module):
    """Its answer for class 1 is the mean brightness, its features the image in cells of 16 pixels."""

    output_fmt = "NCHW"

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 16)

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        mean = features.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def bright_corner() -> torch.Tensor:
    x = torch.zeros(2, 3, 64, 64)
    x[:, :, :16, :16] = 1
    return x


def test_the_map_is_where_the_answer_comes_from() -> None:
    maps = activation_maps(Spotter(), bright_corner(), [1, 0])
    assert maps.shape == (2, 64, 64)
    assert maps[0].max() == 1
    assert maps[0][4, 4] == maps[0].max()
    assert maps[0][32:, 32:].max() == 0
    assert maps[1].max() == 0, "nothing speaks for the other class"


@pytest.mark.parametrize(
    "name",
    [
        "test_convnext",
        "test_efficientnet",
        "test_vit3",
        "test_resnet",
        "swin_tiny_patch4_window7_224",
        "maxvit_tiny_tf_224",
    ],
)
def test_every_family_has_maps(name: str) -> None:
    model = timm.create_model(name, num_classes=3).eval()
    size = timm.get_pretrained_cfg(name).input_size[-1]
    torch.manual_seed(0)
    maps = activation_maps(model, torch.randn(2, 3, size, size), [0, 2])
    assert maps.shape == (2, size, size)
    assert torch.isfinite(maps).all()
    assert maps.min() >= 0
    assert maps.max() == pytest.approx(1)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_map_of_joined_classes_is_that_of_the_most_probable() -> None:
    class Kinds(Spotter):
        def forward_head(self, features: torch.Tensor) -> torch.Tensor:
            top, rest = features[..., :2, :].mean((1, 2, 3)), features[..., 2:, :].mean((1, 2, 3))
            return torch.stack([top, top - rest, rest], 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.forward_head(self.forward_features(x))

    x = torch.stack([bright_corner()[0], bright_corner()[0].flip(-2)])
    joined = Joined(Kinds(), [[1], [0, 2]], temperature=2.0)
    assert torch.equal(activation_maps(joined, x, [1, 1]), activation_maps(Kinds(), x, [0, 2]))
    assert torch.equal(activation_maps(joined, x, [0, 0]), activation_maps(Kinds(), x, [1, 1]))
    own, two = (Kinds()(x) / 2).softmax(1), joined(x).softmax(1)
    assert torch.allclose(two, torch.stack([own[:, 1], own[:, 0] + own[:, 2]], 1))


def test_features_without_places_are_refused() -> None:
    class Flat(Spotter):
        def forward_features(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

        def forward_head(self, features: torch.Tensor) -> torch.Tensor:
            return features

    with pytest.raises(ValueError, match="not spatial"):
        activation_maps(Flat(), bright_corner(), [0, 0])
