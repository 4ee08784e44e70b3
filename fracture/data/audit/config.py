"""Every setting of `fracture audit`, once: its name, type, default, range and the reason for it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Auto = Literal["auto"]


class AuditConfig(BaseModel):
    """The settings of one audit. Thresholds are none of them: docs/audit.md gives them with their reasons.

    Raises:
        pydantic.ValidationError: every value out of its range at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    near_duplicates: bool = Field(True, description="look for near-duplicates; false: exact copies and groups only")
    probe: bool = Field(
        True, description="test whether the class can be predicted from the source, without looking at the bone"
    )
    patients: Literal["auto", "ignore"] = Field(
        "auto",
        description="auto takes patients and studies of DICOM files too, unless the manifest was prepared with "
        "patients=ignore; ignore takes none",
    )
    workers: int | Auto = Field(
        "auto", ge=1, le=64, description="number of processes; auto is the number of cores, at most 8"
    )
    cache_dir: str = Field("auto", description="folder of image signatures; auto is the user's cache folder")
