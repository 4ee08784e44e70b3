"""The settings of `fracture memory`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.config import Auto, Pixels


class MemoryConfig(BaseModel):
    """What the table is made for.

    Raises:
        pydantic.ValidationError: a value out of its range; `parse_model` turns it into a ConfigError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field("convnextv2", description="as in training: one backbone, several with commas, or all (the four)")
    memory_limit_gib: float = Field(
        7.6, ge=0.25, le=4096, description="predictions over this limit get a mark; 7.6 is a laptop card of 8 GB"
    )
    device: Literal["cpu", "cuda"] = Field("cuda", description="whose memory is predicted; cuda needs no GPU here")
    image_size: Pixels | Auto = Field("auto", description="side in pixels; auto is as in training")
    classes: Annotated[int, Field(ge=1, le=10_000)] = Field(3, description="number of classes")
    optimizer: Literal["adam", "adamw"] = Field(
        "adam", description="both keep two moments per parameter, so the memory is the same"
    )
    ema: bool = Field(False, description="include a moving average of the weights")
    checkpointing: bool = Field(False, description="compute activations twice")
    largest: int = Field(128, ge=1, le=4096, description="largest batch of the table, which doubles from 1")
