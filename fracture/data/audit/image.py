"""One image, as the audit sees it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Image:
    """What the audit is told of one image.

    Attributes:
        path: as it is shown.
        label, split, group, source: as in the manifest; split, group and source may be empty.
        sha256: of the file; empty when it could not be read.
        width, height: pixels.
        spread: standard deviation of the grey levels, 0 to 128.
        error: why the file cannot be used, empty when it can.
    """

    path: str
    label: str
    split: str = ""
    group: str = ""
    source: str = ""
    sha256: str = ""
    width: int = 0
    height: int = 0
    spread: float = 0.0
    error: str = ""
