"""The images below a folder by their names, by those of the images that Roboflow made them of, and by folder."""

import posixpath
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import takewhile

from fracture.data.groups import grouped
from fracture.data.originals import roboflow_names, stem_of


class Names:
    """Images by name and folder; neither case matters nor how accents are written.

    Args:
        images: their paths from one root, with forward slashes.
    """

    def __init__(self, images: Iterable[str]) -> None:
        self.images = dict.fromkeys(images)

    def called(self, name: str) -> list[str]:
        """The images of that name."""
        return self._names.get(alike(name), [])

    def with_stem(self, stem: str) -> list[str]:
        """The images whose names are that one and a suffix."""
        return self._stems.get(alike(stem), [])

    def copies(self, name: str) -> list[str]:
        """The images that Roboflow made of one of that name."""
        return self._originals.get(alike(name), [])

    def below(self, folder: str) -> list[str]:
        """The images in a folder, empty for the root, and all folders below it."""
        return self._below.get(folder, [])

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        return grouped((alike(posixpath.basename(image)), image) for image in self.images)

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        return grouped((alike(stem_of(image)), image) for image in self.images)

    @cached_property
    def _originals(self) -> dict[str, list[str]]:
        return grouped((alike(name), image) for image in self.images for name in roboflow_names(image))

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        return grouped((folder, image) for image in self.images for folder in upwards(posixpath.dirname(image)))


def alike(name: str) -> str:
    """What two spellings of one name have in common: case, and letters with their accents in one character or two."""
    return unicodedata.normalize("NFC", name).lower()


def upwards(folder: str) -> Iterator[str]:
    """A folder and all above it, up to the root."""
    yield folder
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def agreeing(image: str, folder: str) -> int:
    """How many of the last folders of an image are those of a path."""
    own, other = (
        [alike(part) for part in reversed(path.split("/")) if part not in ("", ".")]
        for path in (posixpath.dirname(image), folder)
    )
    return shared([own, other])


def shared(paths: Sequence[Sequence[str]]) -> int:
    """How many of their first parts all paths have in common."""
    return sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False)))
