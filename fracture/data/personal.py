"""Columns of a table that may say who somebody is: by their names, and free text, which may name anybody."""

import re
from collections.abc import Iterable, Mapping, Sequence

from fracture.data.listing import some
from fracture.data.manifest import STUDY
from fracture.data.tables import plain

_NUMBER = r"(?:id|no|nr|num|number|nummer)"
_PATIENT = re.compile(rf".*(?:patient|pat)(?:s|en)?{_NUMBER}")
_NAMED = re.compile(  # letters and digits of the names of columns
    rf".*(?:accession|birth|phone|telefon|physician|doctor).*|.*mrn|.*arzt|acc{_NUMBER}|(?:anforderung|auftrag|zugang)s?{_NUMBER}"
    r"|(?:sop|series|study|exam|image|img|object|dicom|frame)?(?:ofreference)?(?:instance)?u?uid"
    rf"|{_PATIENT.pattern}"
    r"|(?:patient(?:en)?s?|pat|last|first|family|given|sur|full|middle|vor|nach|familien)?names?|dob|geb(?:urts)?(?:datum|tag)"
    rf"|tel|fax|(?:tel|fax|mobile|handy){_NUMBER}|.*e?mail(?:address)?"
    r"|.*address|.*adresse|anschrift|street|stra(?:ss|ß)e|zip(?:code)?|post(?:al)?code|plz|wohnort|ssn"
    r"|.*(?:insurance|policy|member|social(?:security|insurance)?|passport|national|nhs|medicare|medicaid|health(?:care?d)?|"
    rf"versichert?e?n?|versicherungs?|krankenkassen?|kv){_NUMBER}"
)
_TOLD = re.compile(  # likewise, of free text
    r".*(?:report|findings?|impression|narrative|comment|remark|note|history|indication|opinion|conclusion|befund|beurteilung"
    r"|bemerkung|anamnese|fragestellung|indikation|kommentar|freetext|freitext).*"
)
_WORD = re.compile(r"(?<!\S)\S*[^\W\d_]{2}\S*")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{12}")  # Japanese and Chinese have no blanks
_PERSON = re.compile(r"[^\W\d_]{2,}(?:[\s,^.-]+[^\W\d_]+)+[.^]*")
_FEW = 12  # values of a column of classes, be they of several words

Rows = Sequence[Mapping[str | None, str]]


def personal_columns(names: Iterable[str], rows: Rows) -> list[str]:
    """The columns that may identify a person, but for those that say the study and the boxes."""
    return [
        name for name in names
        if plain(name) not in {*STUDY, "boxes"} and (_NAMED.fullmatch(_letters(name)) or _is_free_text(name, rows))
    ]  # fmt: skip


def not_kept(columns: Sequence[str]) -> str:
    """What is said of such columns."""
    return f"not kept, since they may identify a person or are free text: {some(columns, len(columns))}"


def names_persons(column: str, values: Iterable[str]) -> bool:
    """Whether the patients in a column are called so that others know them: by name, or by a number used elsewhere.

    A ``patient_id`` is what a data set calls its patients; ``mrn`` and ``nhs_number`` are not.
    """
    letters = _letters(column)
    known_elsewhere = _NAMED.fullmatch(letters) is not None and _PATIENT.fullmatch(letters) is None
    return known_elsewhere or any(map(is_name, values))


def is_name(identifier: str) -> bool:
    """Whether an identifier may be the name of a person: two words or more, of letters only."""
    return _PERSON.fullmatch(identifier.strip()) is not None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _is_free_text(name: str, rows: Rows) -> bool:
    """Whether a third of its values are sentences; or one is, or some have three words, where it is called so."""
    values = {row[name] for row in rows} - {""}
    sentences = sum(_is_sentence(value) for value in values)
    if sentences * 3 > len(values):
        return True
    called = _TOLD.fullmatch(_letters(name)) is not None
    return called and (sentences > 0 or (len(values) > _FEW and any(_words(value) > 2 for value in values)))


def _is_sentence(value: str) -> bool:
    """Whether a value has seven words, or three and a full stop."""
    words = _words(value)
    return words > 6 or (words > 2 and value.endswith(".")) or _UNSPACED.search(value) is not None


def _words(value: str) -> int:
    return len(_WORD.findall(value))
