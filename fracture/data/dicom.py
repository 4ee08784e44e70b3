"""DICOM files: their elements, and grey pixels as a viewer shows them.

Needs the extra ``[dicom]`` (pydicom, and imagecodecs for what pydicom and Pillow do not decode).
"""

import io
import logging
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fracture.data.dicom_header import HEAD, Start, find_start, is_dicom
from fracture.data.pixels import Grey, ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

_MARK = bytes(128) + b"DICM"
_MISSING = "DICOM files need more than is installed: pip install -e '.[dicom]'"
_DAMAGED = "not a readable DICOM file (its header is damaged: copy it again, or export it anew)"
_RARE = (
    "not a readable DICOM image (the description of its pixels is damaged or of a rare kind: convert it with "
    "gdcmconv --raw, or save it as PNG)"
)
_NO_PIXELS = "not a readable DICOM image ({} without pixels: it may have been cut short, copy it again)"
_IS_IMAGE = re.compile(r"Image|X-Ray|Radiograph|Capture|Angio|Tomo", re.IGNORECASE)
_AN = re.compile(r"[AEIOU]|[FHLMNRSX][A-Z]")  # an Encapsulated PDF, an RT Plan


def read_pixels(data: bytes) -> Grey:
    """Grey pixels [height, width] of the first frame, after modality and VOI LUT, inverted where MONOCHROME1 says so.

    Raises:
        ImageError: pydicom is missing, the file has no image, is broken or compressed in a way that cannot be
            decoded, or its size is absurd.
    """
    dataset = read_dataset(data)
    from fracture.data import dicom_frame, dicom_view

    try:
        if not any(dataset.get_item(keyword) and dataset[keyword].value for keyword in dicom_frame.KEYWORDS):
            raise ImageError(_why_no_image(dataset))
        return dicom_view.shown(dataset, dicom_frame.read_frame(dataset))
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # a damaged file fails in more ways than pydicom lists
        raise ImageError(_RARE) from error


def read_dataset(data: bytes, only: tuple[str, ...] = ()) -> "Dataset":
    """The elements of a DICOM file, with or without its preamble.

    Args:
        data: the whole file.
        only: keywords of the elements that are wanted; all by default, pixels included.

    Raises:
        ImageError: pydicom is missing or the file is broken.
    """
    return _read(io.BytesIO(data), data, only)


def read_header(path: Path, only: tuple[str, ...]) -> "Dataset | None":
    """Some elements of a DICOM file, of which no more is read than is needed; None of another file.

    Raises:
        ImageError: as `read_dataset`.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(0)
        return _read(file, head, only) if is_dicom(head) else None


def _read(file: BinaryIO, head: bytes, only: tuple[str, ...]) -> "Dataset":
    """The elements of an open file that begins with ``head``.

    Raises:
        ImageError: as `read_dataset`.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(_MISSING) from error
    start = None if head[128:132] == b"DICM" else find_start(head)
    try:
        if start is not None and not start.meta:
            return _read_bare(file, start, only)
        whole = file if start is None else io.BytesIO(_MARK + file.read()[start.place :])
        return pydicom.dcmread(whole, stop_before_pixels=bool(only), specific_tags=list(only) or None)
    except Exception as error:  # as above
        raise ImageError(_DAMAGED) from error


def _read_bare(file: BinaryIO, start: Start, only: tuple[str, ...]) -> "Dataset":
    """The elements of a file without preamble and meta information, whose layout was found out."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    file.seek(start.place)
    tags = [Tag(keyword) for keyword in only] or None
    dataset = read_dataset(file, start.implicit, start.little, specific_tags=tags)
    dataset.file_meta = FileMetaDataset()
    return dataset


def _why_no_image(dataset: "Dataset") -> str:
    """Why a file without pixels has no image: what it is, in the words of the standard."""
    from pydicom.uid import UID_dictionary

    kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    name = UID_dictionary.get(str(kind), ("",))[0].split(" Storage")[0]
    if name == "Media" or "DirectoryRecordSequence" in dataset:
        return "has no image (it is a DICOMDIR, the table of contents of a disc)"
    if not name:  # whatever stands there instead may be anything, the patient's name included
        return "has no image (a DICOM file that does not say what it is)"
    name = f"{'an' if _AN.match(name) else 'a'} {name}"
    return _NO_PIXELS.format(name) if _IS_IMAGE.search(name) else f"has no image (it is {name})"


# vendors' odd tags do not matter for the pixels; once for all threads, as `catch_warnings` is for one only
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
