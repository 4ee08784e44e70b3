"""One figure with its interval."""

from pydantic import BaseModel, ConfigDict, Field


class Estimate(BaseModel):
    """One metric with its 95 % interval; absent metrics have a reason in place of a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None = Field(description="the metric on all images; null when it is not defined")
    low: float | None = Field(description="lower end of the 95 % percentile bootstrap interval over groups")
    high: float | None = Field(description="upper end of it")
    n: int = Field(description="images that it was computed from")
    groups: int = Field(description="groups (patients, originals) that were resampled")
    reason: str = Field("", description="why value is null")
    caution: str = Field("", description="why the interval is not to be taken at its word, as with very few groups")
