"""Patients that occur in the names of files only: taken where a word says so, else proposed to the user."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from fracture.data.listing import some

_MARKED = re.compile(  # patient00012_study1, p012-ap, PAT_0012, person12_bacteria_47, sub-01_ses-01
    r"(?:(?:^|(?<=[ _.-]))(?:patient|person|participant|subject|mrn|pid)[ _-]?(?:id[ _-]?)?\d+"
    r"|^(?:pat|subj|sub|case)[ _-]?\d+|^pt?[ _-]?\d{2,})(?=[ _.-]|$)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(  # an identifier in front, no date; a short one ends with the word, unlike hexadecimal digits
    r"(?!(?:19|20)\d{6}(?!\d))[A-Za-z]*(?:\d{4,}(?!\d)|\d+(?=[ _.(~-]))"
)
_EXPRESSION = r"([A-Za-z]*\d+)[^/]*$"
_ALL = 0.9  # share of the files that have an identifier, where the name has a place for one
_MANY = 0.8  # identifiers a file at most; where each file has its own, none is of a patient
_MOST = 0.25  # share of the files that have one proposed identifier at most


def patients_in_names(paths: Sequence[str]) -> tuple[list[str], str]:
    """The patient of each file, by a word for one and a number in its name, and a sentence; none unless most have one.

    Args:
        paths: of the files, with forward slashes.
    """
    found = [match[0].lower() if (match := _MARKED.search(PurePosixPath(path).stem)) else "" for path in paths]
    held = Counter(filter(None, found))
    if not held or held.total() < _ALL * len(paths) or len(held) > _MANY * held.total():
        return [""] * len(paths), ""
    return found, (
        f"patients come from file names: {some(sorted(held))}, with {held.total():,} images "
        "(--patients ignore does not use them, --group-pattern names others)"
    )


def proposal(paths: Sequence[str], originals: Sequence[str]) -> str:
    """The expression that would find patients where names begin with numbers of several images each; else empty.

    Args:
        paths: of the files, with forward slashes.
        originals: of each file; copies of one image are none of a patient.
    """
    held: dict[str, set[str]] = defaultdict(set)
    names: dict[str, set[str]] = defaultdict(set)
    for path, original in zip(paths, originals, strict=True):
        if match := _NUMBERED.match(name := PurePosixPath(path).name):
            held[match[0]].add(original or path)
            names[match[0]].add(name)
    # 1.png of each folder is no patient
    held = {who: own for who, own in held.items() if len(own) == 1 or len(names[who]) > 1}
    counts = [len(images) for images in held.values()]
    images = len(set(originals)) if all(originals) else len(paths)
    if not counts or sum(counts) < _ALL * images or len(counts) > _MANY * sum(counts):
        return ""
    if max(counts) > _MOST * sum(counts):
        return ""
    return (
        f"; if {some(sorted(held))} in front of the file names are patients: --group-pattern {shlex.quote(_EXPRESSION)}"
    )
