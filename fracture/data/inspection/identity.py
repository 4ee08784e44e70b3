"""Who a DICOM file is of, as keyed digests: nothing of it is ever stored in clear."""

import hashlib
import re
from dataclasses import dataclass

from fracture.data.images import is_dicom

_TAGS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "InstitutionName")
_PLACEHOLDER = re.compile(
    r"anon(?:ym(?:ous|i[sz]ed|e)?)?|unknown|none|null|nil|nan|n/?a|test|dummy|de-?identified|removed|redacted"
    r"|not[ _-]?available"
    r"|patient|patient[ _-]?id|id|no[ _-]?id|no[ _-]?name|unspecified|undefined|default|phantom|hidden|missing"
    r"|(?:anon\w*|unknown|no|test|dummy) (?:patients?|subjects?|ids?|names?)|not (?:given|known|set)|9{4,}"
    r"|123456(?:7(?:89?)?)?"
    r"|unbekannt|keine?|anonymisiert|nv|k\.? ?a\.?|private|x+|0+|-+|\?+|\.+|\*+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Digests of sixteen hexadecimal digits, the same for every file of one patient or study under one key.

    Attributes:
        patient: of the PatientID alone; empty where it is missing or a placeholder such as ANONYMOUS.
        issued: of the PatientID with its issuer; empty where the file names no issuer.
        study: of the study; empty where none is named.
    """

    patient: str = ""
    issued: str = ""
    study: str = ""


def is_placeholder(identifier: str, institution: str = "") -> bool:
    """Whether an identifier is none of a patient: empty, ``ANONYMOUS``, ``0``, or the institution's name."""
    plain = re.sub(r"[\s^_]+", " ", identifier.strip("<>[](){}# \t")).strip()
    house = institution.strip().lower()
    telling = len(plain) > 5 and not plain.isdecimal()
    is_house = plain.lower() in house if telling else plain.lower() == house
    return not plain or is_house or _PLACEHOLDER.fullmatch(plain) is not None


def identify(data: bytes, key: bytes) -> Identity:
    """The identity of a DICOM file; of another file an empty one.

    The keyed BLAKE2 digests cannot be turned back by trying all patient numbers without the key, which stays in the
    cache folder.
    """
    if not is_dicom(data):
        return Identity()
    from fracture.data.dicom import read_dataset  # whoever has no DICOM files needs no pydicom

    dataset = read_dataset(data, only=_TAGS)
    patient, issuer, study, institution = (str(dataset.get(tag, "") or "").strip() for tag in _TAGS)
    if is_placeholder(patient, institution):
        patient = ""

    return Identity(
        digest(f"patient /{patient}", key) if patient else "",
        digest(f"patient {issuer}/{patient}", key) if patient and issuer else "",
        digest(f"study {study}", key) if study else "",
    )


def digest(text: str, key: bytes) -> str:
    """Sixteen hexadecimal digits that stand for a text, and tell it only to who has the key and guesses it."""
    return hashlib.blake2b(text.encode(), digest_size=8, key=key).hexdigest()
