"""Small DICOM files for tests, in order but for what a test asks for."""

import io
from typing import Any

import numpy as np

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def dataset_of(pixels: np.ndarray[Any, Any] = RAMP, patient: str = "SMITH-1964", **tags: Any) -> Any:
    """A radiograph of 12 bits in 16; tags that are None are left out."""
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid()
    dataset.PatientID, dataset.StudyInstanceUID = patient, "1.2.3.4"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in tags.items():
        if value is None:
            dataset.pop(name, None)
        elif isinstance(value, tuple):  # a VR that the dictionary would not choose, and the value
            dataset.add_new(name, *value)
        else:
            setattr(dataset, name, value)
    return dataset


def make(
    pixels: np.ndarray[Any, Any] = RAMP, patient: str = "SMITH-1964", syntax: str = EXPLICIT, **tags: Any
) -> bytes:
    """The bytes of such a file, with its preamble."""
    return whole(dataset_of(pixels, patient, **tags), syntax)


def whole(dataset: Any, syntax: str = EXPLICIT) -> bytes:
    """The bytes of a data set as a file with preamble and meta information."""
    from pydicom.dataset import FileMetaDataset

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.3")
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def bare(dataset: Any, implicit: bool = True, little: bool = True) -> bytes:
    """The bytes of a data set without preamble and meta information."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, dataset)
    return buffer.getvalue()
