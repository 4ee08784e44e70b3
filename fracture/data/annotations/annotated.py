"""What annotation files say of images, gathered file by file."""

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fracture.data.annotations.matching import Match
from fracture.data.annotations.shares import Edges
from fracture.data.boxes import Box
from fracture.data.exclusions import kind_of

IMAGE_LEVEL = "Roboflow _classes.csv"  # the one kind that draws no boxes
_SHOWN = 20  # problems of one sort in one file; the rest is counted


@dataclass(frozen=True, slots=True)
class Finding:
    """What is annotated on one image.

    Attributes:
        labels: name of every annotation's class, in order; one may stand there several times, or none.
        boxes: one for each label where the kind of annotation has boxes and the image's size is known, else none.
        pixels: label and edges in pixels of those boxes for which no size is known.
        size: width and height that the annotation says of the image, where it does.
        upright: the boxes were drawn on the image as viewers show it, turned as EXIF says.
    """

    labels: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    pixels: tuple[tuple[str, Edges], ...] = ()
    size: tuple[float, float] | None = None
    upright: bool = False


@dataclass(frozen=True)
class Annotated:
    """The annotations of one kind that lie in a folder.

    An image with an annotation that cannot be used, or on which two files disagree, has no finding: it is never taken
    for one without a fracture.

    Attributes:
        kind: ``YOLO``, ``COCO``, ``CreateML``, ``VIA``, ``LabelMe``, ``Pascal VOC``, ``Roboflow CSV`` (boxes) or
            ``Roboflow _classes.csv``.
        files: annotation files that were read, from the root.
        findings: by image, from the root; one without labels was looked at. Images that the set does not mention
            are missing. May be empty where every file has a problem.
        problems: what could not be used: the file (with ``:line`` where there are lines), the folder or the image, and
            the reason.
        notes: what was found out or taken for granted, in sentences.
        assumed: images of ``findings`` that count as without finding since they have no file where others have one.
    """

    kind: str
    files: tuple[str, ...]
    findings: Mapping[str, Finding]
    problems: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    assumed: frozenset[str] = frozenset()

    @property
    def has_boxes(self) -> bool:
        """Whether this kind draws boxes, so that a finding without boxes means none."""
        return self.kind != IMAGE_LEVEL


_Said = list[tuple[str, Box | Edges | None]]


class Draft:
    """A set of annotations while its files are read."""

    def __init__(self, kind: str, upright: bool = False) -> None:
        self._kind, self._upright = kind, upright
        self._sizes: dict[str, tuple[float, float]] = {}
        self._files: dict[str, None] = {}
        self._said: dict[str, dict[str, _Said]] = {}
        self._spoilt: set[str] = set()
        self._problems: list[tuple[str, str, str]] = []
        self._unmatched: dict[tuple[str, str], list[str]] = {}
        self.notes: list[str] = []

    def read(self, file: str) -> None:
        """A file belongs to the set."""
        self._files[file] = None

    def mention(self, file: str, image: str) -> None:
        """A file knows an image, be it without findings."""
        self._said.setdefault(image, {}).setdefault(file, [])

    def sized(self, image: str, width: object, height: object) -> None:
        """A file says how large an image is."""
        if isinstance(width, int | float | str) and isinstance(height, int | float | str):
            with suppress(ValueError):
                self._sizes[image] = (float(width), float(height))

    def add(self, file: str, image: str, label: str, box: Box | Edges | None = None) -> None:
        """A file has an annotation on an image; its box, or its edges in pixels where the image's size is not known."""
        self._said.setdefault(image, {}).setdefault(file, []).append((label, box))

    def problem(self, file: str, reason: str, line: int = 0, images: Iterable[str] = ()) -> None:
        """Something in a file cannot be used; ``images`` whose annotation it is are left out."""
        text = " ".join(reason.encode("utf-8", "backslashreplace").decode().split())
        self._problems.append((file, f"{file}:{line}" if line else file, text))
        self._spoilt.update(images)

    def unmatched(self, place: str, match: Match, name: str) -> None:
        """A file, or a folder of files, has an annotation for an image that was not found; reported by number."""
        self._unmatched.setdefault((place, match.reason), []).append(name)

    def without_image(self, file: str, match: Match) -> None:
        """A file for one image has none; the images that it may mean are told."""
        if match.among:
            self.problem(file, f"{match.reason}: {', '.join(match.among[:3])}")
        else:
            self.unmatched(posixpath.dirname(file) or ".", match, posixpath.basename(file))

    def knows(self, image: str) -> bool:
        """Whether any file has said something of the image, usable or not."""
        return image in self._said or image in self._spoilt

    def finish(self, assumed: Iterable[str] = ()) -> Annotated | None:
        """The set, None where there is none; ``assumed`` images count as without finding."""
        for (place, reason), names in self._unmatched.items():
            shown = ", ".join(dict.fromkeys(names[:3]))
            self.problem(place, f"{reason}: {len(set(names)):,}, e.g. {shown}")
        findings = {
            image: found
            for image, said in self._said.items()
            if image not in self._spoilt and (found := self._agreed(image, said)) is not None
        }
        taken = frozenset(image for image in assumed if not self.knows(image))
        findings |= dict.fromkeys(sorted(taken), Finding())
        if not self._files and not self._problems:
            return None
        problems = tuple(_shortened(self._problems))
        return Annotated(self._kind, tuple(self._files), findings, problems, tuple(self.notes), taken)

    def _agreed(self, image: str, said: Mapping[str, _Said]) -> Finding | None:
        """What the files say of an image, None where two differ."""
        first, *others = said.values()
        if any(Counter(first) != Counter(other) for other in others):
            self.problem(image, f"annotation files disagree on it: {' and '.join(list(said)[:3])}")
            return None
        return Finding(
            tuple(label for label, _ in first),
            tuple(box for _, box in first if isinstance(box, Box)),
            tuple((label, box) for label, box in first if isinstance(box, tuple)),
            self._sizes.get(image),
            self._upright,
        )


def read_each(
    kind: str, suffix: str, others: Iterable[str], read: Callable[[str, Draft], None], upright: bool = False
) -> Annotated | None:
    """The annotations that ``read`` finds in every file of a suffix, None where there are none."""
    draft = Draft(kind, upright)
    for file in others:
        if file.lower().endswith(suffix):
            read(file, draft)
    return draft.finish()


def _shortened(problems: Iterable[tuple[str, str, str]]) -> Iterable[tuple[str, str]]:
    """The first problems of each sort in each file, and how many more there are."""
    counts: Counter[tuple[str, str]] = Counter()
    for file, place, reason in problems:
        sort = (file, kind_of(reason))
        counts[sort] += 1
        if counts[sort] <= _SHOWN:
            yield place, reason
    for (file, sort_of), count in counts.items():
        if count > _SHOWN:
            yield file, f"{sort_of}: {count - _SHOWN:,} more like it"
