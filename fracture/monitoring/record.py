"""One answer as the log keeps it: what came in, what was said, and traits of the image; no pixels, no names."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from fracture.data.audit.traits import rounded
from fracture.data.images import ImageError, is_dicom
from fracture.data.inspection.identity import Identity, identify
from fracture.files import as_text
from fracture.inference.log import Served
from fracture.inference.predictor import Answer, Seen

VERSION = 1  # of a row
_SOURCE = ("StationName", "Manufacturer", "ManufacturerModelName")
_LONGEST = 64  # characters of a station's name


@dataclass(frozen=True)
class Record:
    """One row.

    Attributes:
        time: of the answer, UTC, ``2026-01-31T12:00:00.000Z``: sorts as text.
        request: the same for all images of one request.
        image: SHA-256 of the file's bytes, empty where none arrived.
        model, version, weights: see `Served`.
        decision, label, fracture, fracture_probability, probabilities, refer, reason, error: as answered.
        confidence: largest probability.
        latency: seconds from the request to its answer; of a table, to that of its batch.
        traits: as `fracture.data.audit.traits.measure` gives them; empty where the image could not be read.
        distance: of the image's features from the reference's, None where nobody knows.
        study, patient: keyed digests of what a DICOM file names, else empty.
        station, device: of a DICOM file: the station's name; manufacturer and model.
        kept: file below the folder of kept images, empty where none are kept.
    """

    time: str
    request: str
    image: str
    model: str
    version: str
    weights: str
    decision: str
    label: str
    fracture: bool | None
    fracture_probability: float | None
    probabilities: dict[str, float]
    confidence: float | None
    refer: bool
    reason: str
    error: str
    latency: float
    traits: tuple[float, ...] = ()
    distance: float | None = None
    study: str = ""
    patient: str = ""
    station: str = ""
    device: str = ""
    kept: str = ""
    v: int = VERSION

    @property
    def group(self) -> str:
        """What is no evidence independent of each other: images of one patient or study, or the same image again."""
        return self.patient or self.study or self.image or self.request

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(vars(self), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


NAMES = tuple(field.name for field in fields(Record))
LATER = frozenset(field.name for field in fields(Record) if field.default is not MISSING)  # a row may lack these


def parse(values: Mapping[str, Any]) -> Record:
    """A row as it was stored; columns of a later version are left out, those that an earlier one lacks are empty.

    Raises:
        TypeError: it is no such row.
    """
    known = {name: values[name] for name in NAMES if name in values and not (name in LATER and values[name] is None)}
    if not isinstance(known.get("time"), str) or not isinstance(known.get("probabilities"), dict):
        raise TypeError("a row has a time and probabilities")
    return Record(**{**known, "traits": tuple(known.get("traits", ()))})


def make(
    served: Served, answer: Answer, data: bytes | None, when: str, request: str, latency: float, key: bytes
) -> Record:
    """The row of one answer: texts that every place takes, on one line, and finite numbers.

    Args:
        served: the model.
        answer: what it said.
        data: bytes of the file, None where none arrived.
        when: see `Record.time`.
        request: its id.
        latency: in seconds.
        key: of the digests of patients and studies.
    """
    identity, station, device = _origin(data or b"", key)
    shares = {name: round(share, 6) for name, share in answer.probabilities.items()}
    any_fracture, seen = answer.fracture_probability, answer.seen or Seen()
    reason, error = (as_text(" ".join(text.split())) for text in (answer.reason, answer.error))
    return Record(
        when, request, hashlib.sha256(data).hexdigest() if data is not None else "", as_text(served.name),
        served.version, served.weights, answer.decision, answer.label, answer.fracture,
        None if any_fracture is None else round(any_fracture, 6), shares, max(shares.values(), default=None),
        answer.refer, reason, error, round(latency, 4),
        rounded(seen.traits) if all(map(math.isfinite, seen.traits)) else (),
        seen.distance if math.isfinite(seen.distance or 0) else None, identity.study,
        identity.issued or identity.patient, station, device,
    )  # fmt: skip


def _origin(data: bytes, key: bytes) -> tuple[Identity, str, str]:
    """Digests of patient and study, and the names of station and device; nothing of a damaged file."""
    if not is_dicom(data):
        return Identity(), "", ""
    from fracture.data.dicom import read_dataset  # whoever has no DICOM files needs no pydicom

    try:
        dataset = read_dataset(data, only=_SOURCE)
        station, maker, model = (as_text(str(dataset.get(tag, "") or "").strip())[:_LONGEST] for tag in _SOURCE)
        return identify(data, key), station, f"{maker} {model}".strip()
    except (ImageError, ValueError, TypeError):
        return Identity(), "", ""
