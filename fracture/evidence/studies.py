"""Results of a split with one answer for all images of a study, or of a group."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.evidence.estimate import Estimate

By = Literal["study", "group"]
MEAN_LOGITS, MEAN_PROBABILITIES, HIGHEST = "mean of logits", "mean of probabilities", "image surest of a fracture"


class Studies(BaseModel):
    """One answer a study: metrics over studies beside those over images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: By = Field(description="what gets one answer: the manifest's column study within a group, else the group")
    n: int = Field(description="number of studies; an image without a study is one of its own")
    several: int = Field(description="number of studies with several images")
    images: int = Field(description="images of all studies")
    mixed: int = Field(
        description="studies that were left out because their images have contradictory labels: two kinds of "
        "fracture, or two "
        "classes where none is healthy. One kind of fracture beside healthy images counts as that kind"
    )
    counts: dict[str, int] = Field(description="studies per class")
    rule: str = Field(
        MEAN_LOGITS, description="how the images' answers are combined; fixed in advance, not chosen by these figures"
    )
    metrics: dict[str, Estimate] = Field(
        description="the metrics of splits.test over studies, by that rule, with the thresholds that were fitted for "
        "images"
    )
    others: dict[str, dict[str, Estimate]] = Field(
        description=f"the first of these metrics by other rules: {MEAN_PROBABILITIES}; {HIGHEST}"
    )
