"""At which level of a tree's folders the classes are, and at which the patients."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fracture.data.class_names import MAX_CLASSES, are_patients, says_class, structure
from fracture.data.names import shared

_MANY, _IMAGES = 8, 12  # folders, and images a folder at most, of which a level of patients consists
_FULL = 0.9  # share of the images that have a folder at a level


@dataclass(frozen=True)
class Levels:
    """What the folders of a tree mean; levels are numbered from 0 at the root, split folders not counted.

    Attributes:
        classes: level of the class; -1 is the root itself.
        patients: level of the patient, None where none is.
        problem: why the names at ``classes`` can be no classes, empty where they can.
        other: another level that could be that of the classes, where this is the problem.
    """

    classes: int
    patients: int | None = None
    problem: str = ""
    other: int | None = None


def levels_of(folders: Mapping[str, Sequence[str]], root: str, left_out: frozenset[str] = frozenset()) -> Levels:
    """Find the levels of classes and patients.

    Classes are at the first level where the tree branches with names that classes of bone images have; else at the
    first whose names can be classes, splits, counters, patients, dates, formats and body parts being none. A tree of
    one class has its name at a level that does not branch, or at its root.

    Args:
        folders: by path, its folders without those of splits and of augmented copies.
        root: name of the tree.
        left_out: names that the user leaves out, which count nowhere.
    """
    lists = list(folders.values())
    common = shared(lists)
    depth = max((len(one) for one in lists), default=0)
    names = {level: _names(lists, level) - left_out for level in range(common, depth)}
    full = [level for level in names if sum(len(one) > level for one in lists) >= _FULL * len(lists)] or [common]
    could = [level for level in full if level in names and _could_be(names[level])]
    telling = [level for level in could if says_class(names[level])]
    single = [level for level in range(common) if says_class([lists[0][level]])][::-1]
    single += [-1] if says_class([root]) else []
    classes = (telling or could or (single if names else []) or [common])[0]
    people = next((level for level in names if level != classes and _are_people(lists, level)), None)
    problem, other = _problem(lists, classes, [] if telling else could, names)
    return Levels(classes, people, problem, other)


def _problem(
    lists: Sequence[Sequence[str]], classes: int, could: list[int], names: Mapping[int, set[str]]
) -> tuple[str, int | None]:
    """Why the names at a level can be no classes, or which other level could be as well."""
    held = names.get(classes, set())
    if found := structure(held):
        return str(found), None
    if both := held & names.get(classes + 1, set()):
        return f"folders of one name are at two levels: {', '.join(sorted(both)[:3])}", classes + 1
    for other in could[1:]:
        pairs = {(one[classes], one[other]) for one in lists if len(one) > other}
        if len(pairs) > len(names[other]):  # the same names below several others
            first, second = (", ".join(sorted(names[level])[:3]) for level in (classes, other))
            return f"two levels of folders could be the classes: {first} or {second}", other
    return "", None


def _are_people(lists: Sequence[Sequence[str]], level: int) -> bool:
    """Whether a level is one of patients: by its names, or by many folders of a few images each."""
    held = Counter(one[level] for one in lists if len(one) > level)
    if are_patients(held):
        return True
    found = structure(held)
    return are_small(held) and (found is None or found.kind in ("counters", "identifiers"))


def are_small(images: Counter[str]) -> bool:
    """Whether folders, with the number of their images, are many with a few each, as those of patients and studies."""
    return len(images) >= _MANY and len(images) < images.total() <= _IMAGES * len(images)


def class_at(folders: Sequence[str], level: int, root: str, loose: bool) -> str:
    """The class of an image: its folder at the level, else its last; of one in the root the root's name, or none.

    Args:
        folders: of the image.
        level: of the classes.
        root: name of the tree.
        loose: whether other images have folders, so that one in the root has no class.
    """
    if level < 0:
        return root
    if folders:
        return folders[level] if len(folders) > level else folders[-1]
    return "" if loose else root


def patient_at(folders: Sequence[str], levels: Levels) -> str:
    """The patient's folder with those above it, but for the class: one person may have images of several.

    Args:
        folders: of the image.
        levels: of the tree.
    """
    if levels.patients is None or len(folders) <= levels.patients:
        return ""
    return "/".join(name for i, name in enumerate(folders[: levels.patients + 1]) if i != levels.classes)


def told_patients(levels: Levels) -> str:
    """A sentence on where the patients are."""
    return f"patients are the folders at level {(levels.patients or 0) + 1}"


def _could_be(names: set[str]) -> bool:
    return 2 <= len(names) <= MAX_CLASSES and structure(names) is None


def _names(lists: Sequence[Sequence[str]], level: int) -> set[str]:
    return {one[level] for one in lists if len(one) > level}
