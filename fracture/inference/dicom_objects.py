"""An answer as DICOM objects of the study that it is about: a Structured Report and a secondary capture.

Needs the extra ``[dicom-out]``. The report follows TID 1500 (PS3.16), which the AI Results profile of IHE asks for.
"""

import hashlib
import io
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sc import SCImage
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

import fracture
from fracture.data.pixels import ImageError
from fracture.inference.predictor import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTICE = "RESEARCH USE ONLY - not a medical device, not for diagnosis"
_SCHEME = "99FRACTURE"  # a private scheme, as its first two digits say: the classes are the user's own words
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_KEPT = (  # of patient and study, as the source has them: by these a PACS files an object
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_SERIES = {"SR": 9001, "SC": 9002}  # numbers that scanners do not give
_LONGEST = 64  # characters of what a code means


@dataclass(frozen=True)
class Author:
    """The model that speaks.

    Attributes:
        name: of the registered model, run or file.
        version: of the registered model, else empty.
        weights: digest of its weights.
        decided: digest of all that its answers depend on, decisions included.
    """

    name: str
    version: str
    weights: str
    decided: str

    @property
    def title(self) -> str:
        """Name and version, in as many bytes as a code may have, without the backslash that DICOM cuts texts at."""
        more = f" version {self.version}" if self.version else ""
        name = self.name.replace("\\", "/").encode()[: _LONGEST - len(more)].decode("utf-8", "ignore")
        return name + more

    def uid(self, *about: str) -> str:
        """The same UID for the same thing: what was sent twice is one object (PS3.5, B.2)."""
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, '|'.join((self.decided, *about))).int}"


def source_of(dataset: Dataset) -> Dataset:
    """What an object has to say of the image that it is about.

    Raises:
        ImageError: the image does not say which study it belongs to.
    """
    if missing := [name for name in _NEEDED if not str(dataset.get(name) or "").strip()]:
        raise ImageError(f"has no {', '.join(missing)}, so no report can refer to it")
    source = Dataset()
    source.SpecificCharacterSet = "ISO_IR 192"
    for name in (*_NEEDED, *_KEPT):
        value = dataset.get(name)
        setattr(source, name, "" if value is None else str(value))
    source.PatientOrientation = dataset.get("PatientOrientation")
    source.ImageLaterality = dataset.get("ImageLaterality") or dataset.get("Laterality") or ""
    number = str(dataset.get("InstanceNumber") or "")
    source.InstanceNumber = int(number) if number.isdecimal() else 1
    source.NumberOfFrames = int(dataset.get("NumberOfFrames") or 1)
    return source


def report(source: Dataset, answer: Answer, author: Author) -> Dataset:
    """A Comprehensive SR, complete but neither final nor verified, of one image's answer."""
    frames = [1] if source.NumberOfFrames > 1 else None  # a radiograph's first frame is what was answered
    group = sr.MeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(author.uid(source.SOPInstanceUID, "finding"), "Fracture classification"),
        algorithm_id=sr.AlgorithmIdentification(
            author.title, author.version or fracture.__version__, [f"weights SHA-256 {author.weights}"]
        ),
        measurements=_measurements(answer),
        qualitative_evaluations=_evaluations(answer),
        source_images=[sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID, frames)],
    )
    device = sr.DeviceObserverIdentifyingAttributes(
        author.uid("device"), author.title, "fracture (open source)", author.title
    )
    content = sr.MeasurementReport(
        sr.ObservationContext(sr.ObserverContext(codes.DCM.Device, device)),
        codes.SCT.ImagingProcedure, [group], codes.DCM.ImagingMeasurementReport,
    )  # fmt: skip
    content[0].ContentSequence.extend(_comments(answer))
    made = sr.ComprehensiveSR(
        [_bare(source)], content, author.uid(source.StudyInstanceUID, "SR"), _SERIES["SR"],
        author.uid(source.SOPInstanceUID, "SR"), source.InstanceNumber, "fracture (open source)", is_complete=True,
        **_equipment(author), coding_schemes=[CodingSchemeIdentificationItem(_SCHEME, name="Classes of the model")],
    )  # fmt: skip
    return _filed(made, source)


def capture(source: Dataset, answer: Answer, author: Author, heat: bytes) -> Dataset:
    """A secondary capture of a heat map (PNG), with the notice and the answer burnt in above it."""
    made = SCImage(
        burnt(heat, _line(answer), author.title), "RGB", 8, "PATIENT", source.StudyInstanceUID,
        author.uid(source.StudyInstanceUID, "SC"), _SERIES["SC"], author.uid(source.SOPInstanceUID, "SC"),
        source.InstanceNumber, "fracture (open source)", patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian, **_equipment(author),
    )  # fmt: skip
    made.PatientOrientation = source.PatientOrientation  # as the radiograph lies
    made.pop("Laterality", None)  # is of a whole series, and one study may hold both hands
    setattr(made, "ImageLaterality" if source.ImageLaterality else "Laterality", source.ImageLaterality)
    made.BurnedInAnnotation = "NO"  # the standard means what tells who the patient is
    made.DerivationDescription = f"{NOTICE}. Heat map of {answer.label}"[:1024]
    referenced = Dataset()
    referenced.ReferencedSOPClassUID = source.SOPClassUID
    referenced.ReferencedSOPInstanceUID = source.SOPInstanceUID
    made.SourceImageSequence = [referenced]
    return _filed(made, source)


def burnt(heat: bytes, *lines: str) -> npt.NDArray[np.uint8]:
    """A picture [height, width, 3] below a strip with the notice and some lines, which hides nothing of it."""
    with Image.open(io.BytesIO(heat)) as opened:
        picture = opened.convert("RGB")
    said = (NOTICE, *lines)
    size = max(12, min(24, picture.width // 32))
    font = ImageFont.load_default(size)
    width = max(picture.width, *(int(font.getlength(line)) + size for line in said))
    height = round(1.4 * size) * len(said) + size // 2
    whole = Image.new("RGB", (width, picture.height + height))
    whole.paste(picture, ((width - picture.width) // 2, height))
    draw = ImageDraw.Draw(whole)
    for place, line in enumerate(said):
        colour = (255, 210, 0) if line == NOTICE else (255, 255, 255)
        draw.text((size // 2, size // 4 + round(1.4 * size) * place), line, colour, font)
    return np.asarray(whole, np.uint8)


def _line(answer: Answer) -> str:
    share = f", {answer.probabilities[answer.label]:.2f}" if answer.label in answer.probabilities else ""
    return f"{answer.decision}; {answer.label}{share}"


def _measurements(answer: Answer) -> "Sequence[sr.Measurement]":
    shares = {f"Probability of {name}": share for name, share in answer.probabilities.items()}
    if answer.fracture_probability is not None:
        shares["Probability of any fracture"] = answer.fracture_probability
    return [sr.Measurement(_code(name), round(share, 6), codes.UCUM.NoUnits) for name, share in shares.items()]


def _evaluations(answer: Answer) -> "Sequence[sr.QualitativeEvaluation]":
    refer = codes.SCT.Yes if answer.refer else codes.SCT.No
    said = {"Decision": _code(answer.decision), "Class": _code(answer.label), "A person must look": refer}
    return [sr.QualitativeEvaluation(_code(name), value) for name, value in said.items()]


def _comments(answer: Answer) -> "list[sr.TextContentItem]":
    said = (NOTICE, answer.reason and f"A person must look: {answer.reason}", answer.possible_in_words)
    kind = sr.RelationshipTypeValues.CONTAINS
    return [sr.TextContentItem(codes.DCM.Comment, text, kind) for text in said if text]


def _code(meaning: str) -> sr.CodedConcept:
    """A private code, the same for the same words."""
    value = hashlib.sha256(meaning.encode()).hexdigest()[:12].upper()
    return sr.CodedConcept(value, _SCHEME, meaning[:_LONGEST])


def _equipment(author: Author) -> dict[str, str]:
    return {
        "series_description": "RESEARCH USE ONLY: fracture classifier",
        "manufacturer_model_name": author.title,
        "software_versions": f"fracture {fracture.__version__}",
        "device_serial_number": author.weights[:_LONGEST],
        "specific_character_set": "ISO_IR 192",
    }


def _bare(source: Dataset) -> Dataset:
    """The source without what highdicom refuses to take over from files that bend the standard."""
    bare = Dataset()
    for name in (*_NEEDED, *_KEPT):
        setattr(bare, name, source.get(name) if name in _NEEDED else None)
    return bare


def _filed(made: Dataset, source: Dataset) -> Dataset:
    """An object with patient and study just as its source has them; what the source leaves out is left out."""
    for name in _KEPT:
        if source.get(name) or name in made:
            setattr(made, name, source.get(name))
    return made
