"""A model whose steps of learning run through torch.compile, with the model as it is to fall back on."""

import logging
import warnings

import torch
from torch import Tensor, nn

from fracture.training.memory.shortage import is_out_of_memory

LOG = logging.getLogger("fracture")
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # warns of a CUDA that is not needed


class Compiled:
    """The forward pass of a model, compiled for batches of one size; others go through the model as it is.

    The model itself is left alone: its parameters are shared and keep their names. What cannot be compiled runs as it
    is from then on, and the log says so once.

    Attributes:
        problem: why it is not compiled, empty where it is.
    """

    def __init__(self, model: nn.Module, size: int) -> None:
        """Compile ``model`` for batches of ``size`` images once the first one comes."""
        self.model, self.size, self.problem = model, size, ""
        self._compiled = torch.compile(model, dynamic=False)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits [n, classes] of inputs [n, 3, s, s]."""
        if self.problem or len(inputs) != self.size:
            return self._as_it_is(inputs)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's own, of every model
                logits: Tensor = self._compiled(inputs)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self.problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
            LOG.warning("torch.compile failed, so steps run without it (%s)", self.problem)
            return self._as_it_is(inputs)
        return logits

    def _as_it_is(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(inputs)
        return logits
