"""Made-up data sets on disk, as their real ones lie there."""

from collections.abc import Mapping
from pathlib import Path

from fracture.data.annotations import Annotated, find
from fracture.data.boxes import Box

HEX = "c3e00ebc2db78bc94e644c3f6605dad0"
IMAGE_SUFFIXES = (".jpg", ".png")


def lay(root: Path, files: Mapping[str, str | bytes]) -> list[Annotated]:
    """Write the files (images are empty: nothing opens them) and look for annotations among them."""
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    images = [path for path in files if path.endswith(IMAGE_SUFFIXES)]
    return find(root, sorted(images), sorted(set(files) - set(images)))


def only(root: Path, files: Mapping[str, str | bytes]) -> Annotated:
    """The one set of annotations that must lie there."""
    found = lay(root, files)
    assert len(found) == 1, [one.kind for one in found]
    return found[0]


def labels(one: Annotated) -> dict[str, tuple[str, ...]]:
    """Labels by image."""
    return {image: finding.labels for image, finding in one.findings.items()}


def edges(box: Box) -> tuple[float, float, float, float]:
    """The edges of a box, rounded."""
    return round(box.left, 4), round(box.top, 4), round(box.right, 4), round(box.bottom, 4)


def reasons(one: Annotated) -> str:
    """All problems, one a line."""
    return "\n".join(f"{path} {reason}" for path, reason in one.problems)
