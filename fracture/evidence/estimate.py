"""One figure with its interval."""

import math

from pydantic import BaseModel, ConfigDict, Field


class Estimate(BaseModel):
    """One metric with its 95% interval; absent metrics have a reason in place of a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None = Field(description="the metric on all images; null if it is not defined")
    low: float | None = Field(description="lower end of the 95% percentile bootstrap interval over groups")
    high: float | None = Field(description="upper end of it")
    n: int = Field(description="number of images")
    groups: int = Field(description="number of groups (patients, originals)")
    reason: str = Field("", description="why value is null")
    caution: str = Field("", description="why the interval cannot be believed, as with very few groups")


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95% score interval of a share of ``n`` (Wilson 1927, doi 10.1080/01621459.1927.10502953).

    A bootstrap's has no width where all are alike; this one has. Of none everything is possible.
    """
    if not n:
        return 0.0, 1.0
    z = 1.959964
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))
