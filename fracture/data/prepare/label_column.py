"""The column of a table that holds the class: that it holds classes, and what is said where there is none."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from fracture.data.class_names import MAX_CLASSES, says_class, structure
from fracture.data.listing import some
from fracture.data.personal import personal_columns
from fracture.data.prepare.cells import is_code, is_unknown
from fracture.data.prepare.could import FEW, Rows, shown
from fracture.data.prepare.pairs import canonical
from fracture.data.tables import plain
from fracture.errors import DataError

LABEL = ("label", "class", "cls", "target", "category", "diagnosis")  # names of a column of classes, in order
_VERSION = r"new|old|final|corrected|revised|original|true|gt|consensus|v?\d+|[ab]"
FRACTURED = re.compile(r"(?:is_|has_|any_)?(?:fractured?|ab_?normal(?:ity)?|normal)(?:_visible|_present)?")  # 1 or 0
_ANOTHER_LABEL = re.compile(
    rf"{FRACTURED.pattern}|(?:(?:{_VERSION})[_.]?)?(?:{'|'.join(LABEL)})s?(?:[_.]?(?:{_VERSION}))?"
)
_SENTENCE = re.compile(r"^\S+(?:\s+\S+){2,}\.$|^\S+(?:\s+\S+){6}")  # three words and a full stop, or seven
_MEASURED = re.compile(r"-?\d*[.,]\d+|-?[\d.,]+\s*%")  # probabilities among them


def check_label(path: Path, names: Sequence[str], rows: Rows, meaning: Mapping[str, str]) -> None:
    """See that a column that only its name makes the class holds classes.

    Args:
        path: of the table, for messages.
        names: of its columns.
        rows: of the table.
        meaning: column of each meaning.

    Raises:
        DataError: it holds splits, body parts, measurements or sentences, or another column contradicts it.
    """
    column = meaning.get("label", "")
    held = {row[column] for row in rows} - {""} if column else set()
    values = {value for value in held if not is_unknown(value, held)}
    others = candidates(names, rows, {m if m != "label" else "no class": c for m, c in meaning.items()})
    if len(values) <= MAX_CLASSES and (seen := structure(values)):
        raise DataError(f"{path}: the column {column} holds {seen}{others}", HINT)
    if measured := sorted(value for value in values if _MEASURED.fullmatch(canonical(value))):
        raise DataError(f"{path}: the column {column} holds measurements, not classes: {some(measured)}{others}", HINT)
    if len(told := sorted(value for value in values if _SENTENCE.search(value))) * 3 > len(values):
        raise DataError(
            f"{path}: the column {column} holds sentences, not classes: {some(told)}{others}",
            "Add a column with the class of each image, and name it: --columns label=NAME.",
        )
    for other in names if column else ():
        if other not in meaning.values() and _ANOTHER_LABEL.fullmatch(plain(other)):
            _check_agreement(path, column, other, rows)


def _check_agreement(path: Path, column: str, other: str, rows: Rows) -> None:
    """Two columns that are called as classes must tell the same, be it in other words or in more detail.

    Raises:
        DataError: they contradict each other.
    """
    pairs = {(row[column].casefold(), row[other].casefold()): (row[column], row[other]) for row in rows}
    pairs = {pair: spelt for pair, spelt in pairs.items() if all(pair)}
    own, theirs = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(pairs) == max(len(own), len(theirs)) or len(theirs) > MAX_CLASSES or structure(theirs):
        return
    told = some([f"{one} and {another}" for one, another in sorted(pairs.values())], 4)
    raise DataError(
        f"{path}: the columns {column} and {other} name different classes for the same images: {told}",
        f"Say which one counts: {said_columns(label=column)} or {said_columns(label=other)}.",
    )


def said_columns(**meaning: str) -> str:
    """The option that names these columns, as it is typed."""
    return f"--columns {shlex.quote(','.join(f'{m}={column}' for m, column in meaning.items()))}"


HINT = "Name them, e.g. --columns path=file,label=class (also labels=a,b,c, patient=, split=, source=, reader=)."


def hint(names: Sequence[str], rows: Rows, meaning: Mapping[str, str]) -> str:
    """How the columns are named, with those of this table where the path is known and one could be the class."""
    could = next(iter(class_columns(names, rows, meaning)), "")
    if "path" not in meaning or not could:
        return HINT
    option = said_columns(path=meaning["path"], label=could)
    return f"Name them, e.g. {option} (also labels=a,b,c, patient=, split=, source=, reader=)."


def class_columns(names: Sequence[str], rows: Rows, meaning: Mapping[str, str]) -> dict[str, list[str]]:
    """Columns that could be the class, with their values; those that sound like one come first.

    Args:
        names: of the columns.
        rows: of the table.
        meaning: columns that mean something else.
    """
    found = {
        name: values
        for name in names
        if name not in meaning.values()
        and 2 <= len(values := sorted({row[name] for row in rows})) <= FEW
        and not (structure(set(values) - {""}) or any(map(is_code, values)) or personal_columns([name], rows))
    }
    return dict(
        sorted(
            found.items(), key=lambda one: (not FRACTURED.fullmatch(plain(one[0])), not says_class([one[0], *one[1]]))
        )
    )


def candidates(names: Sequence[str], rows: Rows, meaning: Mapping[str, str]) -> str:
    """What is said of columns that could be the class, or that are each a class."""
    found = class_columns(names, rows, meaning)
    if "label" in meaning or not found:
        return ""
    hot = [name for name, values in found.items() if set(values) <= {"0", "1", "0.0", "1.0", ""}]
    each = f"; or each a class: labels={','.join(hot[:6])}" if len(hot) > 1 else ""
    return f"; the class could be {'; '.join(shown(name, values) for name, values in list(found.items())[:6])}{each}"
