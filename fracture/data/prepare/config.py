"""Every setting of `fracture prepare`, once: its name, type, default, range and the reason for it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fracture.data.prepare.layouts import NAMES
from fracture.data.prepare.pairs import parse_columns, parse_pairs, pattern_problem

Auto = Literal["auto"]


class PrepareConfig(BaseModel):
    """The settings of one preparation.

    Raises:
        pydantic.ValidationError: every value out of its range at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # what the files mean
    layout: str = Field(
        "auto",
        description="auto, folders (never by name), annotations (YOLO, COCO, Pascal VOC), or one of "
        f"{', '.join(NAMES)}",
    )
    label_map: str = Field(
        "", description="OLD=NEW,OLD=NEW renames classes; OLD= leaves a class out; ''=NEW gives empty labels a class"
    )
    label_pattern: str = Field(
        "", description="regular expression searched in each path; its group 'label', or the first group, is the class"
    )
    corrections: str = Field(
        "",
        description="CSV with path and corrected label, as label_review.csv; the column label_before keeps the "
        "old label",
    )
    group_pattern: str = Field(
        "", description="regular expression whose group is the patient, or whatever else must stay in one split"
    )
    source: str = Field(
        "", description="name of the hospital or data set, or one per SOURCE with commas; default: the layout or folder"
    )
    columns: str = Field(
        "",
        description="CSV columns by meaning, e.g. path=file,label=class,patient=pid,split=set,source=site,reader=rad, "
        "study=exam for images taken together, or labels=a,b,c where each class has a column of 1 and 0; the path may "
        "be an AccessionNumber, UID or PatientID of DICOM files, or several columns if a row has several images; "
        "keep=a,b for columns that may identify a person",
    )
    background: str = Field("", description="class of images without a box or finding; without it they are left out")
    readers: Literal["agree", "majority"] = Field(
        "agree",
        description="for an image with several labels: agree leaves it out, majority takes the label of most rows",
    )
    patients: Literal["auto", "ignore", "required"] = Field(
        "auto",
        description="auto does not use an identifier that most images share, ignore uses none, required refuses images "
        "without one",
    )
    originals: Literal["auto", "names", "ignore"] = Field(
        "auto",
        description="auto refuses where names join more images than augmentation makes, names joins them, ignore does "
        "not look at names",
    )
    root: str = Field("", description="folder that the paths of a CSV start from; default: the folder of the CSV")
    # how they are split
    val_fraction: float = Field(0.15, gt=0, lt=0.5, description="share of validation, if the data has no splits")
    test_fraction: float = Field(
        0.15,
        ge=0,
        lt=0.5,
        description="share of the test split, if the data has no splits; 0 leaves an existing test split as it is",
    )
    folds: int = Field(
        0,
        ge=0,
        le=20,
        description="number of folds, written to the column fold for all images except the test; fold "
        "0 is validation; 0 is off",
    )
    resplit: bool = Field(False, description="make new splits even if the data has some")
    seed: int = Field(0, ge=0, description="seed of the split")
    near_duplicates: bool = Field(True, description="find near-duplicates and keep them in one split")
    # on which machine
    workers: int | Auto = Field(
        "auto", ge=1, le=64, description="number of processes; auto is the number of cores, at most 8"
    )
    cache_dir: str = Field("auto", description="folder of image signatures; auto is the user's cache folder")

    @model_validator(mode="after")
    def _agree(self) -> "PrepareConfig":
        problems = [pattern_problem(name, getattr(self, name)) for name in ("label_pattern", "group_pattern")]
        if self.layout not in ("auto", "folders", "annotations", *NAMES):
            problems.append(f"layout={self.layout}: must be auto, folders, annotations or one of {', '.join(NAMES)}")
        if self.val_fraction + self.test_fraction >= 0.9:
            problems.append("val_fraction + test_fraction leave less than a tenth for training")
        if self.folds == 1:
            problems.append("folds=1: at least two are needed, 0 is off")
        for name, parse in (("label_map", parse_pairs), ("columns", parse_columns)):
            try:
                parse(getattr(self, name))
            except ValueError as error:
                problems.append(f"{name}: {error}")
        if problems := [problem for problem in problems if problem]:
            raise ValueError("; ".join(problems))
        return self
