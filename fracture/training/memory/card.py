"""What a process takes of a GPU beside its tensors: the context of CUDA with its kernels, and cuBLAS's workspaces."""

import torch
from pydantic import BaseModel, ConfigDict, Field

_LEAST_GIB = 0.5  # of a small card, where less has been seen
_KERNELS_GIB = 0.16  # as they are loaded by the first steps
_PER_PROCESSOR_GIB = 0.0047
_WORKSPACE_MIB = {True: 32.0, False: 8.125}  # of torch's defaults: on compute capability 9 and later, and before


class Card(BaseModel):
    """What is there before the first tensor; by default of a laptop card. Source: docs/memory-measurements.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_gib: float = Field(_LEAST_GIB, ge=0, description="outside torch's allocator")
    workspace_mib: float = Field(
        _WORKSPACE_MIB[False], ge=0, description="inside it, of cuBLAS and as much again of cuBLASLt"
    )


def card_here() -> Card | None:
    """The card that torch uses, which takes memory on it for good; None without one."""
    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    context = max(_LEAST_GIB, _KERNELS_GIB + _PER_PROCESSOR_GIB * found.multi_processor_count)
    return Card(context_gib=round(context, 3), workspace_mib=_WORKSPACE_MIB[found.major >= 9])
