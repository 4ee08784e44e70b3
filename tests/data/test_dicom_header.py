"""Files without preamble: known by plausible elements, and no other file is taken for one."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from fracture.data.dicom_header import find_start
from fracture.data.formats import FORMATS
from fracture.data.images import ImageError, decode, is_dicom

HEAD = 256


@given(st.binary(max_size=400), st.sampled_from([b"", b"\2\0", b"\0\2", b"\b\0", b"\0\b", b"DICM", bytes(128)]))
def test_random_bytes_are_no_dicom(data: bytes, start: bytes) -> None:
    assert not is_dicom(start + data) or (start + data)[128:132] == b"DICM"


@example(bytes([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]), b"\b\0")  # two groups of no length and of 256 bytes
@example(bytes([0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1]), b"\b\0")  # two elements of no length and of 256 bytes
@given(st.binary(max_size=30), st.sampled_from([b"\b\0", b"\0\b", b"\2\0", b"\0\2"]))
def test_zeros_and_small_numbers_are_no_dicom(data: bytes, start: bytes) -> None:
    """As raw pixels and tables of small numbers begin."""
    quiet = bytes(byte % 3 for byte in data)
    assert not is_dicom(start + quiet + bytes(300))


@pytest.mark.parametrize("kind", [*FORMATS, "TGA", "PCX", "SGI", "ICO", "EPS", "PDF"])
def test_other_formats_are_no_dicom(kind: str) -> None:
    held = io.BytesIO()
    Image.fromarray(np.arange(2048, dtype=np.uint8).reshape(8, 256).repeat(8, 0)).save(held, kind)
    assert not is_dicom(held.getvalue())


@pytest.mark.parametrize(("id_length", "kind"), [(8, 2), (8, 3), (2, 3), (8, 10)])
def test_targa_files_with_a_label_are_no_dicom(id_length: int, kind: int) -> None:
    """They begin with the same byte, and zeros follow."""
    head = bytes([id_length, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 64, 0, 8, 0]) + b"a label "[:id_length]
    assert not is_dicom(head + bytes(4096))


def test_no_file_of_this_project_is_dicom() -> None:
    for path in (Path(__file__).parents[2] / "fracture").rglob("*"):
        if path.is_file():
            assert not is_dicom(path.read_bytes()[:HEAD]), path


@pytest.mark.parametrize("head", [b"", b"\b", b"\b\0", b"\b\0\5\0", b"\b\0\5\0CS\n\0ISO_IR 100", b"DICM", bytes(132)])
def test_too_little_is_no_dicom(head: bytes) -> None:
    assert not is_dicom(head)
    assert find_start(head) is None


pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
from tests.data.dicoms import BIG_ENDIAN, EXPLICIT, IMPLICIT, RAMP, bare, dataset_of, make, whole  # noqa: E402


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "explicit"])
@pytest.mark.parametrize("little", [True, False], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("before", [b"", b"DICM", bytes(128), bytes(132)], ids=["nothing", "DICM", "zeros", "no DICM"])
def test_bare_data_sets_are_read(before: bytes, little: bool, implicit: bool) -> None:
    pixels = RAMP if little else RAMP.byteswap()
    data = before + bare(dataset_of(pixels), implicit, little)
    start = find_start(data)
    assert start is not None
    assert (start.implicit, start.little, start.meta) == (implicit, little, False)
    assert is_dicom(data)
    assert is_dicom(data[:HEAD])
    np.testing.assert_array_equal(decode(data), decode(make()))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, "1.2.840.10008.1.2.1.99"])
@pytest.mark.parametrize("before", [b"", b"DICM", bytes(128)], ids=["nothing", "DICM", "zeros"])
def test_files_with_meta_information_but_no_preamble_are_read(before: bytes, syntax: str) -> None:
    pixels = RAMP if syntax != BIG_ENDIAN else RAMP.byteswap()
    data = make(pixels, syntax=syntax)[132:]
    assert is_dicom((before + data)[:HEAD])
    np.testing.assert_array_equal(decode(before + data), decode(make()))


@pytest.mark.parametrize(
    "first", ["SpecificCharacterSet", "ImageType", "InstanceCreationDate", "Modality", "SOPClassUID"]
)
@pytest.mark.parametrize("implicit", [True, False])
def test_data_sets_begin_with_any_usual_element(first: str, implicit: bool) -> None:
    values: dict[str, object] = {"SpecificCharacterSet": "ISO_IR 100", "ImageType": ["DERIVED", "PRIMARY"]}
    values |= {"InstanceCreationDate": "20200101", "Modality": "DX", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1"}
    dataset = dataset_of(**{"SOPClassUID": None, "SOPInstanceUID": None, first: values[first]})
    np.testing.assert_array_equal(decode(bare(dataset, implicit)), decode(make()))


def test_a_sequence_without_a_length_may_come_early() -> None:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue = "1"
    dataset = dataset_of(LanguageCodeSequence=[code], SpecificCharacterSet="ISO_IR 100")
    dataset["LanguageCodeSequence"].is_undefined_length = True
    for implicit in (True, False):
        np.testing.assert_array_equal(decode(bare(dataset, implicit)), decode(make()))


def test_files_of_acr_nema_are_read_though_they_describe_little() -> None:
    """The standard before DICOM knows neither samples nor a photometric interpretation."""
    names = ("SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation")
    dataset = dataset_of(**dict.fromkeys(names))
    dataset.add_new(0x00080010, "CS", "ACR-NEMA 2.0")  # the recognition code, retired
    np.testing.assert_array_equal(decode(bare(dataset)), decode(make()))


def test_compressed_pixels_without_a_transfer_syntax_are_known_by_their_looks() -> None:
    """Of JPEG, JPEG-LS, JPEG 2000 and RLE files, preamble and meta information are taken away."""
    pytest.importorskip("imagecodecs", reason="the extra [dicom] is not installed")
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    names = ("JPEG2000.dcm", "JPGExtended.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm",
             "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_jp2klossless.dcm")  # fmt: skip
    for path in (folder / name for name in names):
        if path.exists():
            data = path.read_bytes()
            meta = int.from_bytes(data[140:144], "little")
            np.testing.assert_array_equal(decode(data[144 + meta :]), decode(data), path.name)


@pytest.mark.parametrize("stated", [EXPLICIT, "1.2.840.10008.1.2.4.70", "1.2.840.113619.5.99", None])
def test_what_the_pixels_are_counts_more_than_what_the_file_states(stated: str | None) -> None:
    from pydicom.encaps import encapsulate

    dataset = dataset_of((RAMP % 256).astype(np.uint16), BitsAllocated=8, BitsStored=8, HighBit=7)
    grey = (RAMP % 256).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(grey).save(held, "JPEG", quality=95)
    dataset.PixelData = encapsulate([held.getvalue()])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    data = whole(dataset, "1.2.840.10008.1.2.4.50")
    other = (stated or "").ljust(22, "\0").encode() if stated else b"\0" * 22
    assert data.count(b"1.2.840.10008.1.2.4.50") == 1
    shown = decode(data.replace(b"1.2.840.10008.1.2.4.50", other))
    np.testing.assert_array_equal(shown, decode(data))
    native = make(syntax=EXPLICIT).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    np.testing.assert_array_equal(decode(native), decode(make()))


def test_a_bare_file_that_is_cut_short_is_refused() -> None:
    data = bare(dataset_of())
    for length in range(0, len(data), 97):
        with pytest.raises(ImageError):
            decode(data[:length])
