"""Whether activation maps hit what was annotated: part of controls.json."""

from pydantic import BaseModel, ConfigDict, Field

from fracture.evidence.estimate import Estimate


class Hits(BaseModel):
    """How maps meet the boxes of annotated findings, on images of the test split that have some.

    Each table is by what is judged: ``model``; ``random_weights``, the same architecture untrained (Adebayo et al.
    2018); ``centre``, a blob in the middle of the image, since that is where a bone lies; and, paired by image,
    ``model - random_weights`` and ``model - centre``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(description="number of images of a fracture class with a box around a fracture")
    groups: int = Field(description="number of their groups")
    labels: tuple[str, ...] = Field(
        description="labels of the boxes that count; others, such as text and metal, do not"
    )
    pointing: dict[str, Estimate] = Field(
        description="share of images where the brightest place of the map is in a box, or at most 15 pixels of 384 "
        "beside it (pointing game, Zhang et al. 2018)"
    )
    energy: dict[str, Estimate] = Field(description="mean share of a map's weight in the boxes (Wang et al. 2020)")
    area: float = Field(description="mean share of the image's area in the boxes, which is the energy of a flat map")
