"""DICOM files: grey pixels as a viewer shows them, and the patient as a keyed digest, never in clear.

Needs the extra ``[dicom]`` (pydicom). Compressed transfer syntaxes that Pillow cannot decode need pydicom's plugins.
"""

import hashlib
import io
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fracture.data.images import Grey, ImageError, check_size, stretch

if TYPE_CHECKING:
    from pydicom import Dataset

_PATIENT_TAGS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")


def read_pixels(data: bytes) -> Grey:
    """Grey pixels [height, width] of the first frame, after modality and VOI LUT, inverted where MONOCHROME1 says so.

    Raises:
        ImageError: pydicom is missing, the file is broken or compressed in an unknown way, or its size is absurd.
    """
    dataset = _read(data)
    try:
        check_size(int(dataset.Columns), int(dataset.Rows))
        return _shown(dataset)
    except ImageError:
        raise
    except Exception as error:  # a damaged file fails in more ways than pydicom lists
        raise ImageError(f"not a readable DICOM image ({_first_line(error)})") from error


def patient_digest(data: bytes, key: bytes) -> str:
    """Sixteen hexadecimal digits that stand for the patient: the same for every file of one patient under one key.

    PatientID with its issuer counts; where it is empty, the study does. Empty where neither is known. The keyed BLAKE2
    digest cannot be turned back by trying all patient numbers without the key, which stays in the cache folder.
    """
    dataset = _read(data, only=_PATIENT_TAGS)
    patient, issuer, study = (str(dataset.get(tag, "") or "").strip() for tag in _PATIENT_TAGS)
    identity = f"patient {issuer}/{patient}" if patient else f"study {study}" if study else ""
    return hashlib.blake2b(identity.encode(), digest_size=8, key=key).hexdigest() if identity else ""


def _read(data: bytes, only: tuple[str, ...] = ()) -> "Dataset":
    try:
        import pydicom
    except ImportError as error:
        raise ImageError("DICOM needs pydicom: pip install -e '.[dicom]'") from error
    try:
        return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=bool(only), specific_tags=list(only) or None)
    except Exception as error:  # as above
        raise ImageError(f"not a readable DICOM file ({_first_line(error)})") from error


def _shown(dataset: "Dataset") -> Grey:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

    values = pixel_array(dataset, index=0)
    if values.ndim == 3:  # colour, e.g. a secondary capture
        return np.asarray(Image.fromarray(values.astype(np.uint8)).convert("L"))
    values = np.asarray(apply_voi_lut(apply_modality_lut(values, dataset), dataset), np.float64)
    return stretch(-values if dataset.PhotometricInterpretation == "MONOCHROME1" else values)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


# vendors' odd tags do not matter for the pixels; once for all threads, as `catch_warnings` is for one only
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.ERROR)
