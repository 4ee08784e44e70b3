"""Every knob of `fracture evaluate`, once."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fracture.config import Auto, Count
from fracture.rules import Wanted, checked_rule

_RuleOrAuto = Annotated[str, AfterValidator(lambda text: text if text == "auto" else checked_rule(text))]


class EvaluateConfig(BaseModel):
    """The knobs of one evaluation.

    Raises:
        pydantic.ValidationError: every value out of its range at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    split: Literal["auto", "all", "train", "val", "test"] = Field(
        "auto",
        description="which images; auto is the test split where there is one, else all; with refit_decisions all",
    )
    refit_decisions: bool = Field(
        False, description="fit temperature and thresholds on these images, by cross-fitting; the weights stay"
    )
    operating: _RuleOrAuto = Field(
        "auto",
        description="with refit_decisions: youden, sensitivity:0.95, specificity:0.90, cost:FN/FP; auto: as trained",
    )
    refer_error: Annotated[float, Field(gt=0, lt=0.5)] | Auto = Field(
        "auto", description="with refit_decisions: wrong answers allowed among those given; auto: as in training"
    )
    set_coverage: Annotated[float, Field(ge=0.5, lt=1)] | Auto = Field(
        "auto", description="with refit_decisions: share of each class whose set is to hold it; auto: as in training"
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

    @model_validator(mode="after")
    def _agree(self) -> "EvaluateConfig":
        knobs = ("operating", "refer_error", "set_coverage")
        given = [f"{name}={value}" for name in knobs if (value := getattr(self, name)) != "auto"]
        if given and not self.refit_decisions:
            raise ValueError(
                f"{', '.join(given)}: an evaluation judges decisions as they are; refit_decisions=true takes new "
                "ones on these images"
            )
        return self

    def wanted(self, before: Wanted) -> Wanted:
        """What is wanted of new decisions, by default what was wanted ``before``."""
        own = {"operating": self.operating, "refer_error": self.refer_error, "set_coverage": self.set_coverage}
        return before._replace(**{name: value for name, value in own.items() if value != "auto"})  # type: ignore[arg-type]


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
