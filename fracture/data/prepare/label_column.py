"""The column of a table that holds the class: that it holds classes, and what is said where there is none."""

import re
from collections.abc import Mapping

from fracture.data.class_names import MAX_CLASSES, says_class, structure
from fracture.data.listing import some
from fracture.data.personal import personal_columns
from fracture.data.prepare.cells import findings_of, is_code, is_unknown
from fracture.data.prepare.could import FEW, shown
from fracture.data.prepare.pairs import canonical, said_columns
from fracture.data.prepare.path_column import IDENTIFIER
from fracture.data.prepare.sheet import Sheet
from fracture.data.tables import plain
from fracture.errors import DataError

LABEL = ("label", "class", "cls", "target", "category", "diagnosis")  # names of a column of classes, in order
_VERSION = r"new|old|final|corrected|revised|original|true|gt|consensus|v?\d+|[ab]"
FRACTURED = re.compile(r"(?:is_|has_|any_)?(?:fractured?|ab_?normal(?:ity)?|normal)(?:_visible|_present)?")  # 1 or 0
_ANOTHER_LABEL = re.compile(
    rf"{FRACTURED.pattern}|(?:(?:{_VERSION})[_.]?)?(?:{'|'.join(LABEL)})s?(?:[_.]?(?:{_VERSION}))?"
)
_SOUNDS = re.compile(rf"(?:^|_)(?:{'|'.join(LABEL)}|finding|dx|pathology)(?:e?s)?(?:_|$)")
_SENTENCE = re.compile(r"^\S+(?:\s+\S+){2,}\.$|^\S+(?:\s+\S+){6}")  # three words and a full stop, or seven
_MEASURED = re.compile(r"-?\d*[.,]\d+|-?[\d.,]+\s*%")  # probabilities among them
_NO_CLASS = re.compile(rf"{IDENTIFIER.pattern}|(?:.*_)?(?:counts?|folds?|#)")
_ONE_HOT = {"0", "1", "-1", "0.0", "1.0", "-1.0", ""}  # -1 is for nobody knows
_SHOWN = 6  # columns


def check_label(sheet: Sheet, meaning: Mapping[str, str]) -> None:
    """See that a column that only its name makes the class holds classes.

    Args:
        sheet: the table.
        meaning: column of each meaning.

    Raises:
        DataError: it holds splits, body parts, measurements or sentences, or another column contradicts it.
    """
    path, column = sheet.path, meaning.get("label", "")
    held = set(sheet.cells(column))
    values = {value for value in held if not is_unknown(value, held)}
    others = candidates(sheet, {m if m != "label" else "no class": c for m, c in meaning.items()})
    if len(values) <= MAX_CLASSES and (seen := structure(values)):
        raise DataError(f"{path}: the column {column} holds {seen}{others}", HINT)
    if measured := sorted(value for value in values if _MEASURED.fullmatch(canonical(value))):
        raise DataError(f"{path}: the column {column} holds measurements, not classes: {some(measured)}{others}", HINT)
    if len(told := sorted(value for value in values if _SENTENCE.search(value))) * 3 > len(values):
        raise DataError(
            f"{path}: the column {column} holds sentences, not classes: {some(told)}{others}",
            f"Add a column with the class of each image, and name it: {sheet.say('label')}.",
        )
    for other in sheet.names if column else ():
        if other not in meaning.values() and _ANOTHER_LABEL.fullmatch(plain(other)):
            _check_agreement(sheet, column, other)


def _check_agreement(sheet: Sheet, column: str, other: str) -> None:
    """Two columns that are called as classes must tell the same, be it in other words or in more detail.

    Raises:
        DataError: they contradict each other.
    """
    pairs = {(row[column].casefold(), row[other].casefold()): (row[column], row[other]) for row in sheet.rows}
    pairs = {pair: spelt for pair, spelt in pairs.items() if all(pair)}
    own, theirs = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(pairs) == max(len(own), len(theirs)) or len(theirs) > MAX_CLASSES or structure(theirs):
        return
    told = some([f"{one} and {another}" for one, another in sorted(pairs.values())], 4)
    raise DataError(
        f"{sheet.path}: the columns {column} and {other} name different classes for the same images: {told}",
        f"{sheet.which('label', column, other)}.",
    )


HINT = "Name them, e.g. --columns path=file,label=class (also labels=a,b,c, patient=, split=, source=, reader=)."


def hint(sheet: Sheet, meaning: Mapping[str, str]) -> str:
    """How the columns are named, with those of this table where the path is known and one could be the class."""
    if not sheet.option:
        return "Call the column of the images path, and take out others that name images."
    could = next(iter(class_columns(sheet, meaning)), "")
    if "path" not in meaning or not could:
        return HINT
    option = said_columns(path=meaning["path"], label=could)
    return f"Name them, e.g. {option} (also labels=a,b,c, patient=, split=, source=, reader=)."


def class_columns(sheet: Sheet, meaning: Mapping[str, str]) -> dict[str, list[str]]:
    """Columns that could be the class, with their values; those that sound like one come first.

    Args:
        sheet: the table.
        meaning: columns that mean something else.
    """
    found = {
        name: values
        for name in sheet.names
        if name not in meaning.values()
        and 2 <= len(values := _classes(sheet, name)) <= (MAX_CLASSES if _SOUNDS.search(plain(name)) else FEW)
        and (_SOUNDS.search(plain(name)) or not _NO_CLASS.fullmatch(plain(name)))
        and not (structure(set(values) - {""}) or personal_columns([name], sheet.rows))
        and not any(_MEASURED.fullmatch(canonical(value)) for value in values)
        and 2 * sum(map(is_code, values)) < len(values)
    }
    return dict(sorted(found.items(), key=_sounding))


def _sounding(column: tuple[str, list[str]]) -> tuple[bool, bool, bool]:
    """What sorts columns that sound like one of the class to the front."""
    name, values = column
    return not FRACTURED.fullmatch(plain(name)), not _SOUNDS.search(plain(name)), not says_class([name, *values])


def sounds_like_class(sheet: Sheet, meaning: Mapping[str, str], name: str) -> bool:
    """Whether a column could be the class, and its name or its values say so."""
    could = class_columns(sheet, meaning)
    return name in could and not all(_sounding((name, could[name])))


def _classes(sheet: Sheet, name: str) -> list[str]:
    """The values of a column; each finding of ``A|B`` for itself where its name sounds like that of the class."""
    held = {row[name] for row in sheet.rows}
    if _SOUNDS.search(plain(name)):
        held = {part for cell in held for part in findings_of(cell, held) or [""]}
    return sorted(held)


def candidates(sheet: Sheet, meaning: Mapping[str, str]) -> str:
    """What is said of columns that could be the class, or that are each a class."""
    found = class_columns(sheet, meaning)
    if "label" in meaning or not found:
        return ""
    hot = [name for name, values in found.items() if set(values) <= _ONE_HOT]
    each = f"; or each a class: {sheet.say('labels', ','.join(hot))}" if len(hot) > 1 else ""
    listed = [shown(name, values) for name, values in list(found.items())[:_SHOWN]]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return f"; the class could be {'; '.join([*listed, *more])}{each}"
