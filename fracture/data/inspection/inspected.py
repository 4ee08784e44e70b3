"""What is known of one file once it was opened."""

from dataclasses import dataclass, field

from fracture.data.inspection.identity import Identity


@dataclass(frozen=True)
class Inspection:
    """What one file is.

    Attributes:
        sha256: of its bytes; empty when it could not be read.
        error: why it cannot be used; empty when it can, and all that follows is known.
        width, height: pixels, upright.
        phash: 64-bit perceptual hash, 16 hexadecimal digits.
        mean, spread: of the grey levels; a spread near 0 is a blank image.
        identity: keyed digests of a DICOM file's patient and study, else empty.
        traits: as `fracture.data.traits.measure` gives them.
    """

    sha256: str
    error: str = ""
    width: int = 0
    height: int = 0
    phash: str = ""
    mean: float = 0.0
    spread: float = 0.0
    identity: Identity = field(default_factory=Identity)
    traits: tuple[float, ...] = ()
