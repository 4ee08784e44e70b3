"""What `prepare` knows of an image before its file is opened, and what links it to others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fracture.data.prepare.drawn_boxes import DrawnBoxes


@dataclass(frozen=True, slots=True)
class Record:
    """One image that a source names.

    Attributes:
        path: absolute path of the file.
        label: class name; empty where ``findings`` are to become one.
        split: as the source gives it, else empty.
        patient: what identifies the patient, unique over all sources; empty when unknown.
        patients: further identifiers, where rows disagree.
        original: key of the original image, unique over all sources; empty when unknown.
        study: key of the images that were taken together, unique over all sources; empty when unknown.
        rule: what the file's name lost to become that key, in words; empty where it is the name itself.
        source: where the image came from (hospital, data set).
        findings: every class that a table or annotations name for it, of which there may be none; None where each image
            has just its label.
        reason: why there is no label, where that is known.
        reader: who gave the label, where a table says so.
        group: of a manifest that `prepare` has written, taken as it is.
        drawn: boxes on it; None where the source draws none on any image.
        extra: further columns to keep.
    """

    path: Path
    label: str
    split: str = ""
    patient: str = ""
    patients: tuple[str, ...] = ()
    original: str = ""
    study: str = ""
    rule: str = ""
    source: str = ""
    findings: tuple[str, ...] | None = None
    reason: str = ""
    reader: str = ""
    group: str = ""
    drawn: DrawnBoxes | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
