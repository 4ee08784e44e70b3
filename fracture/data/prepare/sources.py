"""Which sources are parts of one data set, as train.csv and valid.csv are, and what is only known of all together."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from fracture.data.copy_marks import WORD_RULES, is_augmentation_word
from fracture.data.groups import grouped
from fracture.data.inspection.identity import is_placeholder
from fracture.data.listing import some
from fracture.data.manifest import split_name
from fracture.data.originals import Original, originals
from fracture.data.prepare.archives import is_archive
from fracture.data.prepare.paths import place
from fracture.data.prepare.records import Record
from fracture.data.tables import is_table
from fracture.files import expanded

_SHORT = 10_000  # numbers below it are running numbers, which begin anew in every hospital
_DENSE = 10  # so are numbers up to this many times their count
_MOSTLY = 0.9  # of the identifiers are such numbers where all count as such


@dataclass(frozen=True)
class Origin:
    """Where a source stands among the others.

    Attributes:
        name: source of its images; parts of one data set have one.
        home: the folder below which the names of files are compared; the data set's.
        part: what other parts of the same data set share with it.
        split: that its own name says, empty where no other part says another one.
        named: the user gave the name.
    """

    name: str
    home: Path
    part: tuple[Path, str]
    split: str = ""
    named: bool = False


def origins(sources: Sequence[Path], names: Sequence[str], root: str = "") -> list[Origin]:
    """Name every source.

    A folder that is called as a split or as copies are, and a table that is or lies in such a folder, is a part of what
    lies around it. Two parts of one data set have its folder's name; else a table has its own, and so has a folder.

    Args:
        sources: as the user gives them.
        names: of the sources, empty where the user gives none.
        root: folder that the paths of tables start from, if the user gives one.
    """
    parts = [_part(expanded(source), root) for source in sources]
    splits = grouped(((home, label), split) for home, label, split, _ in parts)
    several = {part for part, held in splits.items() if len(set(held) - {""}) > 1}
    made = [home.name if len(splits[home, label]) > 1 or not own else own for home, label, _, own in parts]
    apart = _told_apart([(home, name) for (home, *_), name in zip(parts, made, strict=True)])
    return [
        Origin(name or own, home, (home, label), split if (home, label) in several else "", bool(name))
        for name, own, (home, label, split, _) in zip(names, apart, parts, strict=True)
    ]


def _part(source: Path, root: str) -> tuple[Path, str, str, str]:
    """Home, label within it, split and own name of a source; a table that only says a split has no own name."""
    path = source.resolve()
    if is_table(source):
        home, split = _around(expanded(root).resolve() if root else path.parent)
        words = [word for word in re.split(r"[\W_]+", path.stem) if word]
        said = [known for word in words if (known := split_name(word))]
        rest = " ".join(word.lower() for word in words if not split_name(word))
        return home, f"table {rest}", said[0] if said else split, path.stem if rest else ""
    if is_archive(source):
        return path, "", "", source.name.split(".")[0]
    home, split = _around(path)
    return home, "", split, path.name


def _around(folder: Path) -> tuple[Path, str]:
    """The folder of the data set around one that is called as a split or as copies are, and the split."""
    split = ""
    while (known := split_name(folder.name)) or is_augmentation_word(folder.name):
        folder, split = folder.parent, split or known
    return folder, split


def _told_apart(named: Sequence[tuple[Path, str]]) -> list[str]:
    """The names; where two homes would have one, with the folder around in front."""
    homes = grouped(dict.fromkeys((name, home) for home, name in named))
    return [
        name if len(homes[name]) == 1 else f"{home.parent.name}-{name}" if name == home.name else f"{home.name}-{name}"
        for home, name in named
    ]


def link(
    read: Sequence[Sequence[Record]], bases: Sequence[Path], origins: Sequence[Origin], notes: list[str], believe: bool
) -> list[list[Record]]:
    """The records of all sources with the splits, patients and originals that only all of them together tell.

    Args:
        read: the records of each source.
        bases: folder of each source that its files lie below.
        origins: of each source.
        notes: takes what was found out, in sentences.
        believe: take every mark in a name for one of a copy.
    """
    found = _same_people([list(one) for one in read], origins, notes)
    return _with_originals(_in_splits(found, origins, notes), bases, origins, notes, believe)


def _in_splits(read: list[list[Record]], origins: Sequence[Origin], notes: list[str]) -> list[list[Record]]:
    """The split that a source is named after counts where nothing else says one and it tears no patient apart."""
    parts = grouped(
        (one.part, i)
        for i, (one, records) in enumerate(zip(origins, read, strict=True))
        if one.split and not any(record.split or record.group for record in records)
    )
    for one, records in zip(origins, read, strict=True):
        others = Counter(r.split for r in records if one.split and r.split not in ("", one.split) and not r.group)
        if others:
            notes.append(
                f"{others.total():,} images of the source called {one.split} are in {' and '.join(sorted(others))} by "
                "their folders or a column, which count: a column with the splits, or --resplit true, changes that"
            )
    found = list(read)
    for members in parts.values():
        listed = ", ".join(f"{origins[i].split} ({len(read[i]):,} images)" for i in members)
        held = Counter(patient for i in members for patient in {r.patient for r in read[i] if r.patient})
        if torn := [patient for patient, count in held.items() if count > 1]:
            notes.append(
                f"the sources are named after splits, which are not used as such: {len(torn):,} patients have images "
                f"in two of them, e.g. {some(sorted(torn))}"
            )
            continue
        notes.append(f"splits come from the names of the sources: {listed}")
        for i in members:
            found[i] = [replace(record, split=origins[i].split) for record in read[i]]
    return found


def _same_people(read: list[list[Record]], origins: Sequence[Origin], notes: list[str]) -> list[list[Record]]:
    """Identifiers that two sources share are one person's, but for running numbers; a user's own names keep apart."""
    ids = [
        {own for r in records if r.patient and not is_placeholder(own := r.patient.partition("/")[2])}
        for records in read
    ]
    new: dict[str, str] = {}
    for one, other in combinations(range(len(read)), 2):
        first, second = origins[one].name, origins[other].name
        shared = ids[one] & ids[other]
        if not shared or first == second or origins[one].named or origins[other].named:
            continue
        apart = _are_running(ids[one]) or _are_running(ids[other])
        notes.append(
            f"{len(shared):,} patient identifiers occur in {first} and in {second}, e.g. {some(sorted(shared))}: "
            + ("running numbers, so taken for different persons; --source NAME, one for all, makes them one" if apart
               else f"taken for the same persons; --source {first},{second} keeps them apart")
        )  # fmt: skip
        if not apart:
            new.update({f"{second}/{own}": new.get(f"{first}/{own}", f"{first}/{own}") for own in shared})
    return [[replace(r, patient=new.get(r.patient, r.patient)) for r in records] for records in read] if new else read


def _are_running(ids: set[str]) -> bool:
    """Whether identifiers are numbers that begin anew in every source, as 1, 2, 3 or P001, P002."""
    numbers = [int(found[1]) for own in ids if (found := re.fullmatch(r"\D*(\d{1,18})(?:\.0)?", own))]
    return sum(number < max(_SHORT, _DENSE * len(ids)) for number in numbers) > _MOSTLY * len(ids)


def _with_originals(
    read: list[list[Record]], bases: Sequence[Path], origins: Sequence[Origin], notes: list[str], believe: bool
) -> list[list[Record]]:
    """The records with their originals; names are compared within one data set, whatever part of it they are from."""
    said: dict[tuple[Path, Path], Original] = {}  # by home and file, which several rows may name
    for home, label in _labels(origins).items():
        places = {
            record.path: place(os.path.relpath(record.path, base), record.split)
            for one, base, records in zip(origins, bases, read, strict=True)
            for record in (records if one.home == home else ())
        }
        for path, found in zip(places, originals(list(places.values()), believe), strict=True):
            said[home, path] = replace(found, key=f"{label}/{found.key}")
    notes += [] if believe else [*_doubted(said), *_without_original(said)]
    return [
        [replace(r, original=(found := said[one.home, r.path]).key, rule=found.rule) for r in records]
        for one, records in zip(origins, read, strict=True)
    ]


def _doubted(said: Mapping[tuple[Path, Path], Original]) -> list[str]:
    """A sentence for each rule that is not believed."""
    names = grouped((one.doubted, path.name) for (_, path), one in said.items() if one.doubted)
    return [
        f"{len(held):,} names have {rule}, but no file has the name without it: taken for different images "
        f"(--originals names takes them for copies): {some(sorted(held))}"
        for rule, held in names.items()
    ]


def _without_original(said: Mapping[tuple[Path, Path], Original]) -> list[str]:
    """A sentence on copies that only a word in their names makes copies of one original."""
    names = grouped((one.key, path.name if one.rule in WORD_RULES else "") for (_, path), one in said.items())
    if lost := [held for held in names.values() if len(held) > 1 and all(held)]:
        return [
            f"{len(lost):,} groups of copies, by their names, have no original here (--originals ignore keeps them "
            f"apart): {some(sorted(lost[0]))}"
        ]
    return []


def _labels(origins: Sequence[Origin]) -> Mapping[Path, str]:
    """A short name for each home, other than all others."""
    found: dict[Path, str] = {}
    for one in origins:
        if one.home not in found:
            taken = set(found.values())
            number = next(i for i in range(1, len(origins) + 2) if _numbered(one.name, i) not in taken)
            found[one.home] = _numbered(one.name, number)
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
