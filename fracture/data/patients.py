"""Which images are of one patient, by the identifiers of files and tables, where these are identifiers at all."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fracture.data.groups import grouped
from fracture.data.inspection.identity import Identity, is_placeholder

Rule = Literal["auto", "ignore", "required"]
MOST = 0.5  # share of the images that one patient may have
_FEW = 10  # images, or studies, that one patient may have whatever their share


@dataclass(frozen=True)
class Patients:
    """What links images to patients.

    Attributes:
        keys: of each image, its patient's; images that share one are of one patient.
        studies: of each image, its study; so are images that share one.
        known: of each image, whether its patient is known.
        notes: what was not used, and why, in sentences.
    """

    keys: list[list[str]]
    studies: list[str]
    known: list[bool]
    notes: list[str]


def patients_of(named: Sequence[str], found: Sequence[Identity], rule: Rule = "auto") -> Patients:
    """The patients of some images.

    An identifier that more than half of the images have, with ten studies or more where those are known, is no
    patient's but what anonymisation left. The same PatientID of two issuers is two patients; where an issuer is missing
    in some files, it is one.

    Args:
        named: of each image, what a table or a path says, ``source/identifier``; empty where nothing.
        found: of each image, what its DICOM file says.
        rule: ``ignore`` uses neither; ``required`` uses all but placeholders.
    """
    if rule == "ignore":
        return Patients([[] for _ in named], [""] * len(named), [False] * len(named), [])
    notes: list[str] = []
    named = _one_spelling(named, notes)
    zeros = _zeros(named)
    listed = [name if not _is_empty(name) or name in zeros else "" for name in named]
    dropped = sum(bool(a and not b) for a, b in zip(named, listed, strict=True))
    notes += _placeholders(dropped, len(named), "in the table or path")
    dicom = sum(bool(one.study or one.patient) for one in found)
    nameless = sum(bool(one.study and not one.patient and not name) for name, one in zip(listed, found, strict=True))
    notes += _placeholders(nameless, dicom, "in the DICOM file", ": they are grouped by study")
    patients = [one.patient for one in found]
    studies = [one.study for one in found]
    if rule == "auto":
        listed = _spread(listed, [""] * len(listed), "patient in the table or path", notes)
        patients = _spread(patients, studies, "PatientID in the DICOM files", notes)
        studies = _spread(studies, [""] * len(studies), "StudyInstanceUID in the DICOM files", notes)
    issuers = _issuers(patients, found)
    keys = [
        [
            *([name] if name else []),
            *([f"dicom-{one.issued if len(issuers[own]) > 1 and one.issued else own}"] if own else []),
        ]
        for name, one, own in zip(listed, found, patients, strict=True)
    ]
    known = [bool(name or own) for name, own in zip(listed, patients, strict=True)]
    return Patients(keys, [f"dicom-{study}" if study else "" for study in studies], known, notes)


def _one_spelling(named: Sequence[str], notes: list[str]) -> Sequence[str]:
    """The identifiers of one source in one spelling: in one case, with the same signs between a word and its number.

    Spreadsheets drop the zeros in front of some numbers.
    """
    parts = ((name, name.partition("/")) for name in dict.fromkeys(named))
    spelt = grouped(((source, plain_identifier(own)), name) for name, (source, _, own) in parts if own)
    several = [held for held in spelt.values() if len(held) > 1]
    if not several:
        return named
    first, second = (name.partition("/")[2] for name in several[0][:2])
    notes.append(f"{len(several):,} patients are spelt in several ways, as {first} and {second}: taken for one each")
    same = {name: held[0] for held in several for name in held}
    return [same.get(name, name) for name in named]


def plain_identifier(identifier: str) -> str:
    """A number without zeros in front; else the identifier in lower case, without signs between letters and digits."""
    if identifier.isascii() and identifier.isdecimal():
        return identifier.lstrip("0") or "0"  # int() refuses thousands of digits
    plain = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", identifier)).strip().casefold()
    return re.sub(r"(?<=[a-z])[\s_-]+(?=\d)", "", plain)


def _zeros(named: Sequence[str]) -> set[str]:
    """The identifiers ``0`` that are a patient's: others count on from it, and no image without one is among its own.

    It stands for no patient where it has more images than any other identifier.
    """
    held = Counter(named)
    found = [name for name in held if re.fullmatch("0+", name.partition("/")[2])]
    most = max((count for name, count in held.items() if name and name not in found), default=0)
    return {name for name in found if f"{name[:-1]}1" in held and held[name] <= most}


def _is_empty(name: str) -> bool:
    return is_placeholder(name.partition("/")[2]) if name else True


def _placeholders(count: int, of: int, where: str, instead: str = "") -> list[str]:
    if not count:
        return []
    return [
        f"the patient identifier {where} is empty or a placeholder such as ANONYMOUS or 0 in {count:,} of {of:,} "
        f"images, so it is not used{instead}"
    ]


def _spread(values: list[str], studies: Sequence[str], what: str, notes: list[str]) -> list[str]:
    """The values without one that so many images have that it is nobody's."""
    held = grouped((value, i) for i, value in enumerate(values) if value)
    total = sum(len(members) for members in held.values())
    for value, members in held.items():
        own = {studies[i] for i in members} - {""}
        if len(members) >= _FEW and len(members) > MOST * total and (not own or len(own) >= _FEW):
            over = f" of {len(own):,} studies" if own else ""
            notes.append(
                f"one {what} is that of {len(members):,} of {total:,} images{over}: not used as a patient "
                "(--patients required uses it)"
            )
            return ["" if one == value else one for one in values]
    return values


def _issuers(patients: Sequence[str], found: Sequence[Identity]) -> dict[str, set[str]]:
    """The issuers of each PatientID; of one that has files without issuer, none: it cannot be told apart."""
    issued = grouped((own, one.issued) for own, one in zip(patients, found, strict=True))
    return {own: set(held) if "" not in held else set() for own, held in issued.items()}
