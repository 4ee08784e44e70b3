"""Mixed batch statistics: what they become, and all that does not change."""

import pytest
import torch
from torch import Tensor, nn

from fracture.models import backbones
from fracture.training.statistics import mix_statistics


class Small(nn.Module):
    """One normalisation of what comes in, where a timm model has it: below its features, or in its head."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self.norm = nn.BatchNorm2d(2)
        self.norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
        self.norm.running_var.copy_(torch.tensor([4.0, 9.0]))
        self.norm.num_batches_tracked.fill_(7)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.place == "features" else x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return self.norm(x) if self.place == "head" else x


@pytest.fixture
def batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [3 + 2 * torch.randn(8, 2, 5, 5, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("place", ["features", "head"])
def test_statistics_are_the_weighted_mean_of_both(place: str, share: float, batches: list[Tensor]) -> None:
    model = Small(place)
    mix_statistics(model, batches, share)
    means = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    variances = torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(model.norm.running_mean, share * means + (1 - share) * torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(model.norm.running_var, share * variances + (1 - share) * torch.tensor([4.0, 9.0]))
    assert (model.norm.num_batches_tracked, model.norm.momentum, model.norm.training) == (7, 0.1, False)


def test_nothing_but_statistics_changes() -> None:
    model = backbones.build(backbones.find("test_efficientnet"), 3, scales=(1.0, 0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    mix_statistics(model, [torch.randn(4, 3, 64, 64, generator=generator)])
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.endswith(("running_mean", "running_var"))}
    assert not model.training


def test_each_scale_of_a_pyramid_has_its_own() -> None:
    model = backbones.build(backbones.find("test_efficientnet"), 3, scales=(1.0, 0.5))
    batch = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    small = torch.nn.functional.interpolate(batch, (32, 32), mode="bicubic", antialias=True)
    mix_statistics(model, [batch], 1.0)
    for reader, seen in ((model.backbone, batch), (model.twins[0], small)):  # type: ignore[index]
        found = reader.conv_stem(seen)  # type: ignore[operator, union-attr]
        torch.testing.assert_close(reader.bn1.running_mean, found.mean((0, 2, 3)))  # type: ignore[union-attr]


def test_a_model_without_batch_normalisation_stays_as_it_is() -> None:
    model = backbones.build(backbones.find("test_convnext"), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mix_statistics(model, [torch.randn(2, 3, 64, 64)])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
