"""Every setting of `fracture evaluate`, once."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fracture.config import Auto, Count
from fracture.rules import Wanted, checked_rule

_RuleOrAuto = Annotated[str, AfterValidator(lambda text: text if text == "auto" else checked_rule(text))]


class EvaluateConfig(BaseModel):
    """The settings of one evaluation.

    Raises:
        pydantic.ValidationError: every value out of its range at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    split: Literal["auto", "all", "train", "val", "test"] = Field(
        "auto",
        description="which images; auto is the test split if there is one, else all; with refit_decisions always all",
    )
    refit_decisions: bool = Field(
        False, description="fit temperature and thresholds on these images, judged by cross-fitting; the weights stay"
    )
    operating: _RuleOrAuto = Field(
        "auto",
        description="with refit_decisions: youden, sensitivity:0.95, specificity:0.90, cost:FN/FP; auto: as in "
        "training",
    )
    refer_error: Annotated[float, Field(gt=0, lt=0.5)] | Auto = Field(
        "auto",
        description="with refit_decisions: share of wrong answers allowed among the answered; auto: as in training",
    )
    set_coverage: Annotated[float, Field(ge=0.5, lt=1)] | Auto = Field(
        "auto", description="with refit_decisions: coverage of the possible classes; auto: as in training"
    )
    demo_images: int = Field(48, ge=30, description="images that data=demo renders")
    data_seed: int = Field(0, ge=0, description="seed of the demo images")
    batch_size: int = Field(16, ge=1, le=4096, description="images that go through the model at once")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto is cuda if there is a GPU")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto is fp32, as in predict and serve"
    )
    threads: Count | Auto = Field(
        "auto", description="CPU threads; auto is the number of physical cores that the process may use"
    )
    cache_dir: str = Field("auto", description="folder of decoded images; auto is the user's cache folder")

    @model_validator(mode="after")
    def _agree(self) -> "EvaluateConfig":
        settings = ("operating", "refer_error", "set_coverage")
        given = [f"{name}={value}" for name in settings if (value := getattr(self, name)) != "auto"]
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
    """The settings of one comparison.

    Raises:
        pydantic.ValidationError: every value out of its range at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str = Field("macro_f1", description="metric to sort by, on validation; the table shows it for the test")
    parameters: str = Field(
        "lr,batch_size,optimizer,seed", description="parameters shown in the table, separated by commas"
    )
