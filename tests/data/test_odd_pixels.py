"""Odd but ordinary pixels: white that is zero, negative slopes, padding, palettes, deep colours, no preamble."""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fracture.data.images import UNREAD, ImageError, decode, is_dicom, why_unread

RAMP = np.arange(64 * 96).reshape(64, 96)


def tiff(pixels: np.ndarray, photometric: int = 1, sample_format: int = 1, order: str = "<") -> bytes:
    """An uncompressed TIFF of grey [height, width] or colours [height, width, 3], with these tags."""
    body = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    bits = pixels.dtype.itemsize * 8
    place = 8 + len(body)
    after = place + 2 + 12 * 10 + 4
    depths = struct.pack(f"{order}{samples}H", *[bits] * samples)
    kinds = struct.pack(f"{order}{samples}H", *[sample_format] * samples)

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        held = ("HH", [value, 0]) if kind == 3 and count == 1 else ("I", [value])
        return struct.pack(f"{order}HHI{held[0]}", tag, kind, count, *held[1])

    one = samples == 1
    entries = [
        entry(256, 3, 1, width), entry(257, 3, 1, height), entry(258, 3, samples, bits if one else after),
        entry(259, 3, 1, 1), entry(262, 3, 1, photometric), entry(273, 4, 1, 8), entry(277, 3, 1, samples),
        entry(278, 3, 1, height), entry(279, 4, 1, len(body)),
        entry(339, 3, samples, sample_format if one else after + len(depths)),
    ]  # fmt: skip
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", place)
    tail = b"" if one else depths + kinds
    return head + body + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4) + tail


def spread(values: np.ndarray) -> np.ndarray:
    """Stretched as other deep images are."""
    values = values.astype(np.float64)
    return np.round((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


DEEP = {  # type, sample format
    "unsigned 16": (np.uint16, 1), "signed 16": (np.int16, 2), "unsigned 32": (np.uint32, 1), "float": (np.float32, 3),
    "signed 8": (np.int8, 2),
}  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white", [True, False], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize(("kind", "code"), DEEP.values(), ids=DEEP)
def test_grey_tiffs(kind: type, code: int, white: bool, order: str) -> None:
    low, high = (-128, 127) if kind is np.int8 else (0, 3_000_000_000 if kind is np.uint32 else 30_000)
    values = np.linspace(low, high, RAMP.size).reshape(RAMP.shape).astype(kind)
    shown = decode(tiff(values, 0 if white else 1, code, order)).astype(int)
    expected = spread(values).astype(int)
    assert np.abs(shown - (255 - expected if white else expected)).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_colours_are_stretched_and_not_nearly_black(suffix: str) -> None:
    grey = (RAMP % 4096).astype(np.uint16)
    data = (
        tiff(np.dstack([grey] * 3), 2) if suffix == ".tif" else cv2.imencode(suffix, np.dstack([grey] * 3))[1].tobytes()
    )
    assert np.abs(decode(data).astype(int) - spread(grey)).max() <= 1


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jp2", "JPEG2000"), (".pgm", "PPM"), (".avif", "AVIF"), (".mpo", "MPO")]
)
def test_more_formats_are_read(suffix: str, kind: str) -> None:
    held = io.BytesIO()
    Image.fromarray(spread(RAMP)).save(held, kind, **({"quality": 95} if kind in ("AVIF", "MPO") else {}))
    assert np.abs(decode(held.getvalue()).astype(int) - spread(RAMP)).max() < 12
    assert not why_unread(f"a{suffix}")


def test_kinds_that_are_not_read_say_what_to_do() -> None:
    assert why_unread("a.HEIC") == UNREAD[".heic"]
    assert all(" " in reason for reason in UNREAD.values())


def dicom(pixels: np.ndarray, meta: bool = True, **tags: object) -> bytes:
    """A small uncompressed radiograph, with or without preamble and meta information."""
    pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3, "RGB") if pixels.ndim == 3 else (1, "MONOCHROME2")
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored, dataset.PixelRepresentation = min(12, dataset.BitsAllocated), 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    held = io.BytesIO()
    if meta:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        pydicom.dcmwrite(held, dataset, enforce_file_format=True)
    else:
        dataset.save_as(held, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return held.getvalue()


GREY = (RAMP % 4096).astype(np.uint16)


def test_a_negative_slope_with_a_window_grows_with_the_value() -> None:
    shown = decode(dicom(GREY, RescaleSlope="-1", RescaleIntercept="4095", WindowCenter="3095", WindowWidth="500"))
    values = 4095 - GREY.astype(int)
    assert (shown[values < 2800] == 0).all()
    assert (shown[values > 3400] == 255).all()


def test_padding_is_black_and_takes_no_part() -> None:
    padded = (GREY % 1000 + 1000).astype(np.uint16)
    padded[:, :10] = 65535
    for kind in ("MONOCHROME2", "MONOCHROME1"):
        shown = decode(dicom(padded, PixelPaddingValue=65535, BitsStored=16, PhotometricInterpretation=kind))
        assert (shown[:, :10] == 0).all()
        inside = spread(padded[:, 10:])
        np.testing.assert_array_equal(shown[:, 10:], inside if kind == "MONOCHROME2" else 255 - inside)


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"WindowCenter": "1000", "WindowWidth": "0"},
        {"WindowCenter": "", "WindowWidth": ""},
    ],
)
def test_empty_slopes_and_windows_of_no_width_say_nothing(tags: dict[str, str]) -> None:
    np.testing.assert_array_equal(decode(dicom(GREY, **tags)), decode(dicom(GREY)))


def test_deep_colours_of_dicom_are_not_wrapped() -> None:
    shown = decode(dicom(np.dstack([GREY] * 3)))
    assert np.abs(shown.astype(float) - GREY / 4095 * 255).max() <= 1.5


def test_a_palette_is_looked_up() -> None:
    table = np.random.default_rng(0).permutation(256).astype(np.uint16)
    index = (RAMP % 256).astype(np.uint8)
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    tags = {f"{name}Descriptor": [256, 0, 16] for name in names} | {
        f"{name}Data": (table * 257).tobytes() for name in names
    }
    shown = decode(dicom(index, PhotometricInterpretation="PALETTE COLOR", BitsStored=8, **tags))
    assert np.abs(shown.astype(int) - table[index]).max() <= 1


def test_a_file_without_preamble_is_read() -> None:
    data = dicom(GREY, meta=False)
    assert data[128:132] != b"DICM"
    assert is_dicom(data[:256])
    np.testing.assert_array_equal(decode(data), decode(dicom(GREY)))


def test_a_report_holds_no_image() -> None:
    pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
    dataset = pydicom.dcmread(io.BytesIO(dicom(GREY)))
    for name in ("PixelData", "Rows", "Columns"):
        delattr(dataset, name)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    held = io.BytesIO()
    pydicom.dcmwrite(held, dataset, enforce_file_format=True)
    with pytest.raises(ImageError, match=r"holds no image .*Basic Text SR"):
        decode(held.getvalue())


@pytest.mark.parametrize(
    "name", ["JPEG-lossy.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm"]
)
def test_compressed_files_of_pydicom_are_read(name: str) -> None:
    pytest.importorskip("imagecodecs", reason="the extra [dicom] is not installed")
    pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
    place = Path(pydicom.__file__).parent / "data" / "test_files" / name
    if not place.is_file():
        pytest.skip("pydicom does not ship this file")
    assert len(np.unique(decode(place.read_bytes()))) > 2
