"""A model some of whose classes count as one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Joined(nn.Module):
    """A model asked about fewer classes than it knows: the probability of each is the sum of those that it joins.

    Attributes:
        model: answers with logits [n, its classes].
        parts: of each class, those of the model that it joins.
    """

    def __init__(self, model: nn.Module, parts: Sequence[Sequence[int]], temperature: float) -> None:
        """Join the classes of ``model``, whose logits are divided by its temperature first."""
        super().__init__()
        self.model, self.parts = model, [list(part) for part in parts]
        self._temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Prepared images [n, 3, s, s] to logits [n, parts], which need no temperature any more."""
        scaled = self.model(x).float() / self._temperature
        return torch.stack([scaled[:, part].logsumexp(dim=1) for part in self.parts], dim=1)

    def most_probable(self, x: Tensor, classes: Sequence[int]) -> list[int]:
        """For each image, of the model's classes that the named one joins, the most probable."""
        with torch.inference_mode():
            logits = self.model(x)
        parts = [self.parts[place] for place in classes]
        return [part[int(line[part].argmax())] for line, part in zip(logits, parts, strict=True)]
