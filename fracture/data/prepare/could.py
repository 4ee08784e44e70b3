"""What is said of columns that are not used though they may name patients, splits, or what is to be left out."""

import re
from collections.abc import Mapping, Sequence

from fracture.data.class_names import structure
from fracture.data.listing import some
from fracture.data.personal import personal_columns
from fracture.data.prepare.cells import COLD, HOT
from fracture.data.prepare.pairs import canonical
from fracture.data.prepare.path_column import IDENTIFIER
from fracture.data.prepare.sheet import Sheet
from fracture.data.tables import plain

FEW = 12  # values that a column of classes has at most, when one is looked for


def repeats(column: str, sheet: Sheet) -> bool:
    """Whether two rows hold the same value in a column."""
    values = sheet.cells(column)
    return len(set(values)) < len(values)


_OCCASION = re.compile(
    r"exam(?:ination)?|visit|encounter|episode|record|series|session|(?:last|family|full|sur)?_?name"
)
_MANY = 0.8  # values a row at most, where a column may name patients of several images


def _are_parts(values: Sequence[str]) -> bool:
    """Whether values are body parts or views, as those of an examination may be."""
    found = structure(values)
    return found is not None and found.kind.startswith("body parts")


def could_be_patients(sheet: Sheet, meaning: Mapping[str, str]) -> list[str]:
    """A sentence on columns that may name patients, where none is known to: identifiers of several rows each."""
    found = []
    known = meaning.get("patient", "")
    for name in sheet.names if not known or not repeats(known, sheet) else ():
        values = sheet.cells(name)
        own = sorted(set(values))
        named = (
            IDENTIFIER.fullmatch(plain(name))
            or name.endswith(("ID", "Id"))
            or (_OCCASION.fullmatch(plain(name)) and not _are_parts(own))
        )
        if name not in meaning.values() and named and 2 < len(own) <= _MANY * len(values):
            found.append(name if personal_columns([name], ()) else f"{name} ({some(own)})")
    if not found:
        return []
    return [f"patients could be in the column {' or '.join(found)}, which is not used: {sheet.say('patient')}"]


_LEAVES_OUT = re.compile(
    r"(?:.*_)?(?:exclu(?:de|ded|sion)|includ?e?d?|use|usable|keep|drop|discard|ignore|skip|remove|delete|reject(?:ed)?|bad"
    r"|qc|quality|(?:un)?certain(?:ty)?|doubtful|duplicate)(?:_flag|_status)?"
)


def could_leave_out(sheet: Sheet, meaning: Mapping[str, str]) -> list[str]:
    """A sentence on columns that may say which images are not to be used."""
    found = [
        shown(name, values)
        for name in sheet.names
        if name not in meaning.values() and _LEAVES_OUT.fullmatch(plain(name))
        and 2 <= len(values := sorted({row[name] for row in sheet.rows})) <= FEW
    ]  # fmt: skip
    way = "which leaves none out: take such rows from the table"
    return [f"images to be left out could be in the column {' or '.join(found)}, {way}"] if found else []


_FLAG = re.compile(r"(?:is|in)_(?:train|test|val|valid|validation|holdout)(?:_set|ing)?|(?:[kc]v?_?)?folds?(?:_?id)?")
_BARE = re.compile(r"(?:train|test|val|valid|validation|holdout)(?:_set|ing)?")  # a flag where it holds yes and no


def could_split(sheet: Sheet, source: str) -> list[str]:
    """What is said of columns such as ``is_test`` and ``fold``, and of sources such as ``clinic_train``."""
    bare = [name for name in sheet.names if _BARE.fullmatch(plain(name))]
    yes = {name for name in bare if {canonical(row[name]).lower() for row in sheet.rows} <= HOT | COLD}
    sources = structure(set(sheet.cells(source)))
    yes |= {source} if sources and sources.kind == "splits" else set()
    found = [name for name in sheet.names if _FLAG.fullmatch(plain(name)) or name in yes]
    return [
        f"the column {name} may say the split, which is not used as such: write train, val or test into a column, and "
        f"{sheet.say('split')}"
        for name in found
    ]


def shown(name: str, values: Sequence[str]) -> str:
    """A column with its first values, e.g. ``fractured (0, 1)``."""
    return f"{name} ({', '.join(value or 'empty' for value in values[:4])}{', ...' if len(values) > 4 else ''})"
