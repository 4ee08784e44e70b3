"""Compressed DICOM files: which are decoded, and what is said of those that are not."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture.data import dicom_codecs, dicom_frame
from fracture.data.images import ImageError, decode
from tests.data.dicoms import dataset_of, whole

pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
imagecodecs = pytest.importorskip("imagecodecs", reason="the extra [dicom] is not installed")
from pydicom import uid  # noqa: E402

GREY = (np.mgrid[0:128, 0:96][1] * 20 + np.mgrid[0:128, 0:96][0] * 5).astype(np.uint16)
FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
REFUSED = {  # of the files that pydicom ships
    "JPEG2000-embedded-sequence-delimiter.dcm": "compressed as JPEG 2000, and damaged",
    "MR_truncated.dcm": "fewer pixels",
}
CODECS: dict[uid.UID, tuple[str, dict[str, Any]]] = {
    uid.JPEGLossless: ("jpeg8_encode", {"lossless": True}),
    uid.JPEGLosslessSV1: ("jpeg8_encode", {"lossless": True, "predictor": 1}),
    uid.JPEGLSLossless: ("jpegls_encode", {}),
    uid.JPEG2000Lossless: ("jpeg2k_encode", {"codecformat": "J2K", "reversible": True}),
    uid.HTJ2KLossless: ("htj2k_encode", {"reversible": True}),
    uid.JPEGExtended12Bit: ("jpeg8_encode", {"bitspersample": 12, "level": 100}),
}


def compressed(pixels: np.ndarray[Any, Any], syntax: uid.UID, bits: int, **tags: Any) -> bytes:
    """A file of these pixels, compressed."""
    from pydicom.encaps import encapsulate

    name, options = CODECS[syntax]
    if name == "jpeg8_encode" and "lossless" in options:
        options = options | {"bitspersample": bits}
    frame = getattr(imagecodecs, name)(np.ascontiguousarray(pixels), **options)
    size = pixels.itemsize * 8
    dataset = dataset_of(pixels, BitsAllocated=size, BitsStored=bits, HighBit=bits - 1, **tags)
    if pixels.ndim == 3:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return whole(dataset, syntax)


def spread(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    exact = values.astype(np.float64)
    return np.round((exact - exact.min()) / (exact.max() - exact.min()) * 255)


@pytest.mark.parametrize("syntax", CODECS, ids=lambda syntax: dicom_codecs.name_of(syntax))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_of_all_depths_is_decoded(bits: int, syntax: uid.UID) -> None:
    exact = syntax != uid.JPEGExtended12Bit
    if not exact and bits != 12:
        pytest.skip("of 12 bits only")
    pixels = (GREY.astype(np.int64) * (2**bits - 1) // GREY.max()).astype(np.uint8 if bits == 8 else np.uint16)
    shown = decode(compressed(pixels, syntax, bits))
    assert np.abs(shown - spread(pixels)).max() <= (0 if exact else 1)


@pytest.mark.parametrize("syntax", [s for s in CODECS if s != uid.JPEGExtended12Bit], ids=dicom_codecs.name_of)
def test_signed_pixels_keep_their_sign(syntax: uid.UID) -> None:
    signed = GREY.astype(np.int16) - 1000
    stored = signed.view(np.uint16) if syntax not in uid.JPEG2000TransferSyntaxes else signed
    shown = decode(compressed(stored, syntax, 16, PixelRepresentation=1))
    np.testing.assert_array_equal(shown, spread(signed))


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2KLossless])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_are_decoded(bits: int, syntax: uid.UID) -> None:
    grey = (GREY.astype(np.int64) * (2**bits - 1) // GREY.max()).astype(np.uint8 if bits == 8 else np.uint16)
    shown = decode(compressed(np.dstack([grey] * 3), syntax, bits))
    assert np.abs(shown - grey / (2**bits - 1) * 255).max() <= 1


def test_padding_of_compressed_files_is_black() -> None:
    padded = (GREY % 1000 + 1000).astype(np.uint16)
    padded[:, :10] = 65535
    for syntax in (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless):
        shown = decode(compressed(padded, syntax, 16, PixelPaddingValue=65535))
        assert not shown[:, :10].any()
        np.testing.assert_array_equal(shown[:, 10:], spread(padded[:, 10:]))


def test_every_file_that_pydicom_ships_is_decoded_or_refused_in_words() -> None:
    """Whatever its transfer syntax; of those with pixels two are damaged."""
    decoded = 0
    for path in sorted(FOLDER.rglob("*.dcm")):
        data = path.read_bytes()
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        if path.name not in REFUSED and "PixelData" in dataset and "Rows" in dataset:
            decoded += 1
            assert decode(data).size, path
        else:
            with pytest.raises(ImageError, match=REFUSED.get(path.name, "image|DICOM")):
                decode(data)
    assert decoded > 50


@pytest.mark.parametrize("place", [(420, 140, 244), (230, 120, 95)], ids=str)
def test_jpeg_of_12_bits_is_what_other_decoders_make_of_it(place: tuple[int, int, int]) -> None:
    """The values are those that pydicom's own tests find with libjpeg."""
    if not (FOLDER / "JPGExtended.dcm").exists():
        pytest.skip("pydicom does not ship it")
    frame = dicom_frame.read_frame(pydicom.dcmread(FOLDER / "JPGExtended.dcm"))
    assert frame.values[place[0], place[1]] == place[2]


SYNTAXES = {
    "1.2.840.10008.1.2.4.51": "JPEG Extended (12 bits)",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless (Process 14)",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless (Process 14, Selection Value 1)",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
}
OTHERS = {
    "1.2.840.10008.1.2.4.50": "compressed as JPEG Baseline, and damaged or of a rare kind: convert it with gdcmconv",
    "1.2.840.10008.1.2.5": "compressed as RLE Lossless, and damaged or of a rare kind: convert it with gdcmconv --raw "
    "(GDCM) or dcmdrle (DCMTK)",
    "1.2.840.10008.1.2.4.52": "which is not read: convert it with gdcmconv --raw (GDCM) or dcmdjpeg (DCMTK)",
    "1.2.840.10008.1.2.4.102": "a video (MPEG-4 AVC/H.264 High Profile / Level 4.1), which is not read: save the frame",
    "1.2.840.10008.1.2.4.107": "a video (HEVC/H.265 Main Profile / Level 5.1), which is not read: save the frame",
    "1.2.840.10008.1.2.4.94": "compressed as JPIP Referenced, which is not read: convert it with gdcmconv --raw (GDCM)",
    "1.2.840.9.9": "compressed as an unknown transfer syntax (1.2.840.9.9), which is not read: convert it",
}


def rubbish(syntax: str) -> bytes:
    """A file of a transfer syntax whose pixels are none."""
    from pydicom.encaps import encapsulate

    dataset = dataset_of()
    dataset.PixelData = encapsulate([b"\7no image\7" * 9])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    if uid.UID(syntax).is_transfer_syntax:
        return whole(dataset, syntax)
    known = uid.JPEGLosslessSV1.encode()  # pydicom writes no other
    return whole(dataset, uid.JPEGLosslessSV1).replace(known, syntax.encode().ljust(len(known), b"\0"))


@pytest.mark.parametrize(("syntax", "name"), SYNTAXES.items(), ids=SYNTAXES.values())
def test_a_missing_decoder_is_named_with_what_to_install(
    syntax: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom_codecs, "find_spec", lambda _: None)
    with pytest.raises(ImageError) as caught:
        decode(rubbish(syntax))
    told = f"(compressed as {name}, whose decoder is not installed: pip install -e '.[dicom]')"
    assert str(caught.value) == f"not a readable DICOM image {told}"


@pytest.mark.parametrize("syntax", SYNTAXES, ids=SYNTAXES.values())
def test_what_no_decoder_reads_is_named_with_how_to_convert_it(syntax: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(rubbish(syntax))
    assert f"compressed as {SYNTAXES[syntax]}, and damaged or of a rare kind: convert it with" in str(caught.value)
    assert "pip" not in str(caught.value)


@pytest.mark.parametrize(("syntax", "words"), OTHERS.items(), ids=OTHERS)
def test_other_transfer_syntaxes_are_named_too(syntax: str, words: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(rubbish(syntax))
    assert words in str(caught.value)


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded() -> None:
    data = bytearray(compressed(GREY, uid.JPEGLSLossless, 12))
    place = data.index(b"\xff\xf7") + 5
    assert data[place : place + 4] == b"\0\x80\0\x60"
    data[place : place + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(ImageError, match="JPEG-LS Lossless, and damaged"):
        decode(bytes(data))


@pytest.mark.parametrize("length", [b"\0\0\0\0", b"\0\0\0\7"])
def test_boxes_without_a_length_do_not_hold_pydicom_for_ever(length: bytes) -> None:
    from pydicom.encaps import encapsulate

    dataset = dataset_of()
    dataset.PixelData = encapsulate([b"\0\0\0\x0cjP  \r\n\x87\n" + length + b"ftyp" + bytes(40)])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    with pytest.raises(ImageError, match="compressed as JPEG 2000, and damaged"):
        decode(whole(dataset, uid.JPEG2000))
