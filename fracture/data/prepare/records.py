"""What `prepare` knows of an image before its file is opened, and why a file was left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """One image that a source names.

    Attributes:
        path: absolute path of the file.
        label: class name.
        split: as the source gives it, else empty.
        patient: what identifies the patient, unique over all sources; empty when unknown.
        original: key of the original image, unique over all sources; empty when unknown.
        source: where the image came from (hospital, data set).
        extra: further columns to keep.
    """

    path: Path
    label: str
    split: str = ""
    patient: str = ""
    original: str = ""
    source: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One file or folder that is not in the manifest.

    Attributes:
        path: the file, or the archive and the name inside it.
        reason: one sentence without the path.
        label: its class, where it had one.
        source: of the image, where known.
    """

    path: str
    reason: str
    label: str = ""
    source: str = ""
