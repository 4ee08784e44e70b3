"""An ensemble as one network: the calibrated probabilities of its members, averaged with weights."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from fracture.data.batches import Normalize

TINY = 1e-12  # of a probability, before its logarithm
PLAIN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # mean and std of an ensemble's input: each member has its own


_Number = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=4096)]  # of the squares that a network reads, in pixels
Mean = Annotated[tuple[_Number, ...], Field(min_length=3, max_length=3)]  # per channel
Std = Annotated[tuple[Annotated[_Number, Field(gt=0)], ...], Field(min_length=3, max_length=3)]
Temperature = Annotated[_Number, Field(gt=0)]


class Member(BaseModel):
    """One network of an ensemble, as the sidecar holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(description="id of the run that trained it")
    weight: float = Field(description="of its probabilities, fitted on validation; all are of sum 1")
    model: str = Field(description="timm's name with its tag")
    image_size: Side = Field(description="side of the square that it reads; a larger one is made smaller for it")
    scales: tuple[float, ...] = Field((), description="as of a single model")
    mean: Mean = Field(description="as of a single model")
    std: Std = Field(description="as of a single model")
    temperature: Temperature = Field(description="its own, before averaging")
    license: str = Field(description="of the weights that its training started from")


class Ensemble(nn.Module):
    """Networks whose calibrated probabilities are averaged.

    Attributes:
        members: what is known of each.
        networks: in the same order.
        weights, temperatures: float [members]; they are of the state dict, so that its digest tells mixtures apart.
    """

    weights: Tensor
    temperatures: Tensor

    def __init__(self, networks: Sequence[nn.Module], members: Sequence[Member]) -> None:
        """Average ``networks``, each of which answers with logits [n, classes]."""
        super().__init__()
        self.members = tuple(members)
        self.networks = nn.ModuleList(networks)
        self.register_buffer("weights", torch.tensor([member.weight for member in members]))
        self.register_buffer("temperatures", torch.tensor([member.temperature for member in members]))

    def forward(self, x: Tensor) -> Tensor:
        """Grey values in 0 to 1, in equal channels [n, 3, s, s], to logits [n, classes]: logarithms of the mean."""
        pairs = zip(self.networks, self.members, strict=True)
        logits = torch.stack([network(self.seen(x, member)).float() for network, member in pairs])
        shares = (logits / self.temperatures.float().view(-1, 1, 1)).softmax(dim=2)
        return (self.weights.float().view(-1, 1, 1) * shares).sum(dim=0).clamp_min(TINY).log()

    @staticmethod
    def seen(x: Tensor, member: Member) -> Tensor:
        """What a member reads of the ensemble's input."""
        grey = x[:, :1].float()
        if grey.shape[-1] != member.image_size:
            side = (member.image_size, member.image_size)
            grey = functional.interpolate(grey, side, mode="bicubic", antialias=True).clamp(0, 1)
        return Normalize(member.mean, member.std)(grey).to(x.dtype)
