"""Every knob of `fracture evaluate`, once."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.config import Auto, Count


class EvaluateConfig(BaseModel):
    """The knobs of one evaluation.

    Raises:
        pydantic.ValidationError: every value out of its range at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    split: Literal["auto", "all", "train", "val", "test"] = Field(
        "auto", description="which images; auto is the test split where the data names splits, else all"
    )
    demo_images: int = Field(48, ge=30, description="images that data=demo renders")
    data_seed: int = Field(0, ge=0, description="seed of the demo images")
    batch_size: int = Field(16, ge=1, le=4096, description="images that go through the model at once")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto is cuda where there is one")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto is bf16 where the hardware computes it, else fp32"
    )
    threads: Count | Auto = Field("auto", description="CPU threads; auto is the number of physical cores allowed")
    cache_dir: str = Field("auto", description="where decoded images are kept; auto is the user's cache folder")


class CompareConfig(BaseModel):
    """The knobs of one comparison.

    Raises:
        pydantic.ValidationError: every value out of its range at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str = Field("macro_f1", description="what the table is sorted by, on validation, and shows of the test")
    parameters: str = Field(
        "lr,batch_size,optimizer,seed", description="parameters shown in the table, with commas between them"
    )
