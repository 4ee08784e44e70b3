"""What a prediction is made of, and what it says."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.errors import FractureError
from fracture.training.memory.card import Card

GIB = 2**30
PARTS = ("weights", "average", "gradients", "optimiser", "inputs", "copies", "activations", "temporaries")
MEANINGS = {
    "weights": "parameters and buffers in fp32",
    "average": "their moving average (ema_decay)",
    "gradients": "one per parameter, in fp32",
    "optimiser": "two moments per parameter (Adam, AdamW)",
    "inputs": "images and labels of the batch",
    "copies": "the weights in bf16 or fp16, kept by autocast through the step",
    "activations": "what the forward pass keeps for the backward pass",
    "temporaries": "what single operations need while they run, cuBLAS among them, and gradients of activations",
}


class UnpredictableError(FractureError):
    """The backbone's step cannot be run on tensors without contents, so that nothing is known of its memory."""


class StepSpec(BaseModel):
    """One training step, or one evaluation batch in a training process.

    Raises:
        pydantic.ValidationError: a value out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="nickname or timm name")
    classes: int = Field(3, ge=1, description="outputs")
    image_size: int = Field(224, ge=32, le=1024, description="side in pixels")
    scales: tuple[float, ...] = Field((), description="sides that a pyramid head reads; empty: the backbone's own head")
    batch_size: int = Field(16, ge=1, le=4096, description="images that go through the model at once")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="what autocast computes in")
    optimizer: str = Field("adam", description="as in the settings of training")
    trained: Literal["all", "backbone", "head"] = Field("all", description="as in the settings of training")
    layer_decay: float = Field(1.0, gt=0, le=1, description="as in the settings of training")
    layer_decay_cutoff: float = Field(0.0, ge=0, lt=1, description="as in the settings of training")
    ema: bool = Field(False, description="whether a moving average of the weights is kept")
    checkpointing: bool = Field(False, description="whether activations are computed again in the backward pass")
    device: Literal["cpu", "cuda"] = Field("cuda", description="whose allocator is modelled; neither needs to be there")
    accumulation: bool = Field(False, description="whether several micro-batches make one optimiser step")
    card: Card = Field(Card(), description="what a GPU has taken before the step; of no meaning on a CPU")
    evaluation: bool = Field(False, description="an evaluation batch instead of a step of learning")


class Prediction(BaseModel):
    """The peak of one step, in GiB (2**30 bytes)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: StepSpec
    allocated_gib: float = Field(description="in tensors, as torch.cuda.max_memory_allocated counts")
    reserved_gib: float = Field(description="held by the allocator, as torch.cuda.max_memory_reserved counts")
    context_gib: float = Field(description="allowance for what no allocator of torch sees; see `predict`")
    parts: dict[str, float] = Field(description="what the allocated peak is made of, by the names in PARTS")
    phase: str = Field(description="where the peak is: forward, backward, update or evaluation")
    batch_norm: bool = Field(description="whether a step normalises over the batch, so that its parts matter")

    @property
    def process_gib(self) -> float:
        """The whole process, as ``nvidia-smi`` or the resident set shows it."""
        return self.reserved_gib + self.context_gib
