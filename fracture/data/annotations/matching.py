"""Which image an annotation means: never the wrong one, so none where names leave a doubt."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from fracture.data.manifest import split_name
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


class Images:
    """The images below a root, by path, name and folder; upper and lower case do not matter."""

    def __init__(self, images: Sequence[str]) -> None:
        self._all = dict.fromkeys(images)
        self._names: dict[str, list[str]] = defaultdict(list)
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, list[str]] = defaultdict(list)
        for image in self._all:
            folder, name = posixpath.split(image)
            self._names[name.lower()].append(image)
            self._stems[stem_of(name).lower()].append(image)
            self._folders[folder].append(image)

    def inside(self, folder: str) -> list[str]:
        """The images that lie in a folder itself."""
        return self._folders.get(folder, [])

    def below(self, folder: str) -> list[str]:
        """The images in a folder and all folders below it."""
        found = self._folders_below.get(folder, [])
        return [image for one in found for image in self._folders[one]]

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
        for start in _above(folder) if given else (folder,):
            exact = posixpath.normpath(posixpath.join(start, text))
            if exact in self._all:
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
        return replace(found, reason=_COPIES) if found.among and found.among[0] in self._copies(name) else found

    def match_in(self, folder: str, name: str) -> Match:
        """The image of that name, or with that stem, or that Roboflow made of it, in one folder."""
        found = [image for image in self._candidates(name) if posixpath.dirname(image) == folder]
        if len(found) == 1:
            return Match(found[0])
        return Match(reason=_SEVERAL if found else _NONE, among=tuple(found))

    def _candidates(self, name: str) -> list[str]:
        """Images of that name; else those that differ in case; else with another suffix; else Roboflow's copies."""
        found = self._names.get(name.lower(), [])
        same = [image for image in found if posixpath.basename(image) == name]
        stems = self._stems.get(name.lower()) or self._stems.get(stem_of(name).lower())
        return same or found or stems or self._copies(name)

    def _copies(self, name: str) -> list[str]:
        return self._originals.get(name.lower(), [])

    @cached_property
    def _originals(self) -> dict[str, list[str]]:
        """Images by the names of those that Roboflow made them of."""
        found: dict[str, list[str]] = defaultdict(list)
        for image in self._all:
            for name in roboflow_names(image):
                found[name.lower()].append(image)
        return found

    @cached_property
    def _folders_below(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for folder in self._folders:
            place = folder
            while place:
                found[place].append(folder)
                place = posixpath.dirname(place)
            found[""].append(folder)
        return found


@lru_cache(maxsize=1 << 16)
def splits_in(path: str) -> frozenset[str]:
    """The splits that folders of a path name, as ``train/images`` and ``instances_val2017`` do."""
    words = [word for part in path.split("/") for word in (part, *re.split(r"[^A-Za-z]+", part))]
    return frozenset(found for word in words if (found := split_name(word)))


def _above(folder: str) -> Iterator[str]:
    """A folder and all above it, up to the root."""
    yield folder
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def _compatible(one: frozenset[str], other: frozenset[str]) -> bool:
    return one <= other or other <= one


def _best(candidates: Sequence[str], given: str, folder: str) -> Match:
    """The candidate that no other one excels in either respect."""
    if len(candidates) == 1:
        return Match(candidates[0])
    scores = {image: (_agree(image, given), _near(image, folder)) for image in candidates}
    best = max(scores, key=lambda image: scores[image])
    most = scores[best]
    alone = sum(score == most for score in scores.values()) == 1
    if alone and all(near <= most[1] for _, near in scores.values()):
        return Match(best)
    return Match(reason=_SEVERAL, among=tuple(candidates))


def _agree(image: str, given: str) -> int:
    """How many of the last folders of the image are those of the name."""
    own = posixpath.dirname(image).lower().split("/")
    named = [part for part in given.lower().split("/") if part not in ("", ".")]
    return _same(own[::-1], named[::-1])


def _near(image: str, folder: str) -> tuple[int, bool]:
    """How many of the first folders the image shares with the annotation, and whether it lies beside it."""
    own = posixpath.dirname(image)
    return _same(own.split("/"), folder.split("/")), own == folder


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
