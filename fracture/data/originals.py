"""What file names tell of the original image that a file was made from."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fracture.data.copy_marks import ROBOFLOW, Reduced, are_dated, is_generic, reduce
from fracture.data.formats import SUFFIXES
from fracture.data.groups import grouped

MOST_COPIES = 0.25  # share of a class that one original may have; beyond it the names are running numbers or dates
_FEW = 10  # files that may share an original whatever their share: a data set of a few originals
_TELLING = re.compile(r"\d{5}|[0-9a-f]{8}", re.IGNORECASE)  # no two images have such a number by chance


@dataclass(frozen=True, slots=True)
class Original:
    """The original image of one file.

    Attributes:
        key: the same for files that were made from one original.
        rule: what the name lost on the way, in words; empty where it is the name itself.
        doubted: what the name would have lost by a rule that only makes a way of naming of it; empty where nothing.
    """

    key: str
    rule: str = ""
    doubted: str = ""


def stem_of(path: str) -> str:
    """The file's name without its suffix, where that is one of an image: the last number of a UID is none."""
    name = os.path.basename(path)  # noqa: PTH119 - Path is slow for a million files
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    return stem if suffix.lower() in SUFFIXES else name


def roboflow_names(path: str) -> list[str]:
    """What the image may have been called that Roboflow made a file of; none where it did not make it.

    >>> roboflow_names("train/k0_jpg.rf.1be75680f0289a4d2bcc8d0c112a3453.png")
    ['k0', 'k0.jpg']
    """
    stem = stem_of(path)
    found = ROBOFLOW.search(stem)
    name = stem[: found.start()] if found else ""
    return [name, *([f"{name}.{found[1]}"] if found and found[1] else [])] if name else []


def originals(files: Sequence[tuple[str, str, str]], believe: bool = False) -> list[Original]:
    """The original image of each file.

    Numbering often starts anew in every split folder, so ``train/1.png`` and ``test/1.png`` are only taken for one
    original where a copy such as ``1_rotate.png`` shows that the numbers name originals, or where the name has a number
    that no two images have by chance. Where a word, or a unique id, stands in the names of a group and no file has the
    name without it, it may be a way of naming, as in ``elbow_crop_001``: see `_is_naming`.

    Args:
        files: scope (the folder, without split and augmentation folders), split (empty if none) and stem of each file.
        believe: take every mark for one of a copy.
    """
    known = {scope: frozenset(held) for scope, held in grouped((scope, stem) for scope, _, stem in files).items()}
    dated = are_dated([stem for _, _, stem in files])
    reduced = [reduce(stem, known[scope], dated) for scope, _, stem in files]
    doubted = [""] * len(files)
    for i in [] if believe else _namings(files, reduced, known):
        doubted[i] = reduced[i].rule
        reduced[i] = reduce(files[i][2], known[files[i][0]], dated, only_sure=True)
    copied = {(scope, one.name) for (scope, _, _), one in zip(files, reduced, strict=True) if one.rule}
    found = []
    for (scope, split, _), one, doubt in zip(files, reduced, doubted, strict=True):
        apart = split and (scope, one.name) not in copied and (is_generic(one.name) or not _TELLING.search(one.name))
        key = "/".join(part for part in (split if apart else "", scope, one.name) if part)
        found.append(Original(key, one.rule, doubt))
    return found


def _namings(
    files: Sequence[tuple[str, str, str]], reduced: Sequence[Reduced], known: dict[str, frozenset[str]]
) -> list[int]:  # fmt: skip
    """The files whose marks are a way of naming."""
    named = zip(files, reduced, strict=True)
    groups = grouped(((scope, one.name), i) for i, ((scope, _, _), one) in enumerate(named))
    return [
        i
        for (scope, name), members in groups.items()
        if len(members) > 1 and name not in known[scope] and _is_naming(name, [reduced[i] for i in members])
        for i in members
        if not reduced[i].sure
    ]


def _is_naming(name: str, group: Sequence[Reduced]) -> bool:
    """Whether the marks of a group without its original are a way of naming.

    A unique id is one image's. A word is a copy's where a number is left that an original can have, or where each file
    has another word: ``7_aug_1`` and ``7_aug_2``, ``anna_flip`` and ``anna_rotate``, but not ``elbow_crop_1`` and
    ``elbow_crop_2``.
    """
    words = {one.words for one in group}
    if words == {()}:
        return True
    return not any(letter.isdigit() for letter in name) and len(words) < len(group)


def unlikely(found: Sequence[Original], labels: Sequence[str], paths: Sequence[str]) -> list[str]:
    """One sentence for each original that would have more copies than any tool makes.

    Args:
        found: the original of each file.
        labels: the class of each file.
        paths: of each file, for the examples.
    """
    classes = Counter(labels)
    sentences = []
    for held in grouped((one.key, i) for i, one in enumerate(found)).values():
        label = labels[held[0]]
        by_name = next((found[i].rule for i in held if found[i].rule), "")
        if by_name and len(held) >= _FEW and len(held) > MOST_COPIES * classes[label]:
            listed = ", ".join(os.path.basename(paths[i]) for i in held[:3])  # noqa: PTH119
            sentences.append(
                f"by their names {len(held)} of {classes[label]} images of {label} would be copies of one original "
                f"(rule: {by_name}): {listed}"
            )
    return sentences
