"""What a split shows where all images of a study, or of a group, are answered once."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.evidence.estimate import Estimate

By = Literal["study", "group"]
MEAN_LOGITS, MEAN_PROBABILITIES, HIGHEST = "mean of logits", "mean of probabilities", "image surest of a fracture"


class Studies(BaseModel):
    """One answer a study: metrics over studies beside those over images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: By = Field(description="what is answered once: the manifest's column study within a group, else the group")
    n: int = Field(description="studies that are judged; an image without a study is one of its own")
    several: int = Field(description="of them, those of several images")
    images: int = Field(description="of all of them")
    mixed: int = Field(
        description="studies left out, whose images have labels that make no single one: two kinds of fracture, or two "
        "classes where none is healthy; one kind beside healthy images counts as that kind"
    )
    counts: dict[str, int] = Field(description="studies per class")
    rule: str = Field(MEAN_LOGITS, description="how images become one answer; it was settled before, not chosen here")
    metrics: dict[str, Estimate] = Field(
        description="as of splits.test, of studies, by that rule; under the decisions that were taken for images"
    )
    others: dict[str, dict[str, Estimate]] = Field(
        description=f"the first of these metrics by other rules: {MEAN_PROBABILITIES}; {HIGHEST}, whose answer is taken"
    )
