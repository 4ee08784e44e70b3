"""Which image an annotation means: never the wrong one, so none where names leave a doubt."""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from fracture.data.groups import grouped
from fracture.data.manifest import split_name
from fracture.data.names import Names, agreeing, shared, upwards
from fracture.data.originals import roboflow_names, stem_of

_NONE = "no image of that name is there"
_SEVERAL = "several images have that name, so none is taken"
_COPIES = "several images are copies of it that Roboflow made, so none is taken: export images and annotations together"
_ORIGINAL = (
    "only the image that Roboflow made it of is there, which may look different: export images and annotations together"
)
_OTHER_SPLIT = "only an image of another split has that name"
_MOST = 1_000  # images of one name that are compared; data sets with more of them name folders


@dataclass(frozen=True, slots=True)
class Match:
    """The image that a name means.

    Attributes:
        image: its path from the root, empty if there is none or a doubt.
        reason: why it is empty.
        among: the images between which the doubt is.
    """

    image: str = ""
    reason: str = ""
    among: tuple[str, ...] = ()


class Images(Names):
    """The images below a root, one of which an annotation means."""

    def inside(self, folder: str) -> list[str]:
        """The images that lie in a folder itself."""
        return self._inside.get(folder, [])

    def match(self, named: str, folder: str, splits: frozenset[str]) -> Match:
        """The image that an annotation names.

        A path from the annotation's own folder counts first, and one with folders also from the folders above. Else, of
        all images of that name (or with another suffix, or made of it by Roboflow), the one that agrees most with the
        folders of the name and lies nearest to the annotation; none if these two speak for different images, if two
        images are equal in both, or if its split is another one.

        Args:
            named: name or path of the image, as the annotation gives it; its suffix may be missing.
            folder: of the annotation file, from the root.
            splits: that the annotation file is of, by its own name and folders.
        """
        text = named.replace("\\", "/")
        given, name = posixpath.split(text)
        for start in upwards(folder) if given else (folder,):
            exact = posixpath.normpath(posixpath.join(start, text))
            if exact in self.images:
                return Match(exact)
        candidates = self._candidates(name)
        if not candidates:
            return Match(reason=_ORIGINAL if any(map(self._candidates, roboflow_names(name))) else _NONE)
        if len(candidates) > _MOST:
            return Match(reason=_SEVERAL, among=tuple(candidates))
        wanted = splits_in(given) or splits
        fitting = [image for image in candidates if _compatible(wanted, splits_in(posixpath.dirname(image)))]
        if not fitting:
            return Match(reason=_OTHER_SPLIT)
        found = _best(fitting, given, folder)
        return replace(found, reason=_COPIES) if found.among and found.among[0] in self.copies(name) else found

    def of_file(self, file: str) -> Match:
        """The image that has the name of a file."""
        folder, name = posixpath.split(file)
        return self.match(posixpath.splitext(name)[0], folder, splits_in(folder))

    def of_content(self, file: str, said: Iterable[str], what: str) -> Match:
        """The image that a file names in its ``what``, else the one that has its name; none if they differ."""
        folder, by_name = posixpath.dirname(file), self.of_file(file)
        found = (self.match(text, folder, splits_in(folder)) for text in said)
        by_content = next((match for match in found if match.image), by_name)
        if by_name.image and by_name.image != by_content.image:
            among = (by_name.image, by_content.image)
            return Match(reason=f"its name and its {what} mean different images", among=among)
        return by_content

    def match_in(self, folder: str, name: str) -> Match:
        """The image of that name, or with that stem, or that Roboflow made of it, in one folder."""
        found = [image for image in self._candidates(name) if posixpath.dirname(image) == folder]
        if len(found) == 1:
            return Match(found[0])
        return Match(reason=_SEVERAL if found else _NONE, among=tuple(found))

    def _candidates(self, name: str) -> list[str]:
        """Images of that name; else those that differ in case; else with another suffix; else Roboflow's copies."""
        found = self.called(name)
        same = [image for image in found if posixpath.basename(image) == name]
        return same or found or self.with_stem(name) or self.with_stem(stem_of(name)) or self.copies(name)

    @cached_property
    def _inside(self) -> dict[str, list[str]]:
        return grouped((posixpath.dirname(image), image) for image in self.images)


@lru_cache(maxsize=1 << 16)
def splits_in(path: str) -> frozenset[str]:
    """The splits that folders of a path name, as ``train/images`` and ``instances_val2017`` do."""
    words = [word for part in path.split("/") for word in (part, *re.split(r"[^A-Za-z]+", part))]
    return frozenset(found for word in words if (found := split_name(word)))


def _compatible(one: frozenset[str], other: frozenset[str]) -> bool:
    return one <= other or other <= one


def _best(candidates: Sequence[str], given: str, folder: str) -> Match:
    """The candidate that no other one excels in either respect."""
    if len(candidates) == 1:
        return Match(candidates[0])
    scores = {image: (agreeing(image, given), _near(image, folder)) for image in candidates}
    best = max(scores, key=lambda image: scores[image])
    most = scores[best]
    alone = sum(score == most for score in scores.values()) == 1
    if alone and all(near <= most[1] for _, near in scores.values()):
        return Match(best)
    return Match(reason=_SEVERAL, among=tuple(candidates))


def _near(image: str, folder: str) -> tuple[int, bool]:
    """How many of the first folders the image shares with the annotation, and whether it lies beside it."""
    own = posixpath.dirname(image)
    return shared([own.split("/"), folder.split("/")]), own == folder
