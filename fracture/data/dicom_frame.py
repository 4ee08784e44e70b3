"""The first frame of a DICOM file as numbers: the stored values, and which of them are padding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder

from fracture.data.dicom_codecs import CONVERT, is_endless, plugins, sniff, why_undecoded
from fracture.data.pixels import ImageError, Mask, Numbers, check_size

KEYWORDS = {"PixelData": "", "FloatPixelData": "Float", "DoubleFloatPixelData": "DoubleFloat"}  # and of their padding
_NATIVE = {  # by implicit VR and little endian
    (True, True): uid.ImplicitVRLittleEndian,
    (False, True): uid.ExplicitVRLittleEndian,
    (False, False): uid.ExplicitVRBigEndian,
    (True, False): uid.ExplicitVRBigEndian,  # no transfer syntax, but old archives hold it; the pixels are the same
}
_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_ITEM = b"\xfe\xff\x00\xe0"  # compressed pixels begin with one
_WITH_SIGN = (*uid.JPEGLSTransferSyntaxes, *uid.JPEG2000TransferSyntaxes)  # pydicom has put their bits right


@dataclass(frozen=True, slots=True)
class Frame:
    """The first frame of a file.

    Attributes:
        values: as stored, [height, width] or [height, width, 3].
        photometric: what they mean after decoding, e.g. ``MONOCHROME1`` or ``RGB``.
        bits: that are used of each value.
        signed: whether values may be negative.
        padding: which of them are padding and no image, [height, width]; None where none is.
    """

    values: Numbers
    photometric: str
    bits: int
    signed: bool
    padding: Mask | None


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element as a finite number; None where it is none."""
    return next(iter(numbers(dataset, keyword)), None)


def numbers(dataset: Dataset, keyword: str) -> list[float | None]:
    """Every value of an element as a finite number, None for each that is none; empty where it cannot be read."""
    return [_finite(value) for value in _all_values(dataset, keyword)]


def first_value(dataset: Dataset, keyword: str) -> Any:
    """The first value of an element; None where it is missing, empty or cannot be read."""
    return next(iter(_all_values(dataset, keyword)), None)


def _all_values(dataset: Dataset, keyword: str) -> list[Any]:
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OverflowError):
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    return [] if value is None or value == "" else [value]


def _finite(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def read_frame(dataset: Dataset) -> Frame:
    """Decode the first frame; whatever other elements hold is not applied yet.

    Raises:
        ImageError: an absurd size, fewer pixels than it, or a compression that cannot be decoded.
        Exception: whatever pydicom says of a damaged description of the pixels.
    """
    syntax = _syntax(dataset)
    described = _described(dataset, syntax)
    raw, properties = _decoded(described, syntax)
    photometric = str(properties["photometric_interpretation"])
    bits, signed = described.BitsStored, described.PixelRepresentation == 1
    right = raw.dtype.kind == "f" or syntax in _WITH_SIGN or (raw.ndim == 3 and described.BitsAllocated <= 8)
    values = raw if right or described.BitsAllocated == 1 else _stored(raw, bits, described.HighBit)
    padding = _padding(dataset, raw, values, bits) if photometric.startswith("MONOCHROME") else None
    return Frame(values, photometric, bits, signed, padding)


def _syntax(dataset: Dataset) -> uid.UID:
    """The transfer syntax: as the file states it, unless its pixels contradict that or it states none."""
    stated = first_value(dataset.file_meta, "TransferSyntaxUID")
    known = stated is not None and stated.is_transfer_syntax
    native = _NATIVE.get(dataset.original_encoding, uid.ExplicitVRLittleEndian)
    if "PixelData" not in dataset:
        return native
    element = dataset["PixelData"]
    compressed = bytes(element.value[:4]) == _ITEM and (
        element.is_undefined_length or (known and bool(stated.is_encapsulated))
    )
    if known and stated.is_encapsulated == compressed:
        return stated
    if not compressed:
        return native
    found = sniff(element.value) or stated
    if found is None:
        raise ImageError(f"not a readable DICOM image (compressed, and it does not say how: {CONVERT})")
    return found


def _described(dataset: Dataset, syntax: uid.UID) -> Dataset:
    """The elements that describe the pixels, and the pixels; what is missing is what it nearly always is."""
    rows, columns = number(dataset, "Rows"), number(dataset, "Columns")
    if rows is None or columns is None:
        raise ImageError("not a readable DICOM image (it does not say how many rows and columns it has)")
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.Rows, found.Columns = int(rows), int(columns)
    check_size(found.Columns, found.Rows)
    keyword = next(keyword for keyword in KEYWORDS if keyword in dataset)
    found[keyword] = dataset[keyword]
    if all(table in dataset for table in _OFFSETS):
        for table in _OFFSETS:
            found[table] = dataset[table]
    found.SamplesPerPixel = int(number(dataset, "SamplesPerPixel") or 1)
    meaning = str(first_value(dataset, "PhotometricInterpretation") or "").strip().upper()
    found.PhotometricInterpretation = meaning or ("RGB" if found.SamplesPerPixel == 3 else "MONOCHROME2")
    found.PlanarConfiguration = int(number(dataset, "PlanarConfiguration") or 0)
    found.NumberOfFrames = max(1, int(number(dataset, "NumberOfFrames") or 1))
    found.PixelRepresentation = int(number(dataset, "PixelRepresentation") or 0)
    allocated = number(dataset, "BitsAllocated")
    found.BitsAllocated = int(allocated) if allocated else {"PixelData": 16, "FloatPixelData": 32}.get(keyword, 64)
    stored = int(number(dataset, "BitsStored") or 0)
    found.BitsStored = stored if 1 <= stored <= found.BitsAllocated else found.BitsAllocated
    found.HighBit = int(number(dataset, "HighBit") or 0)
    _check_length(found, len(found[keyword].value), syntax)
    return found


def _check_length(found: Dataset, length: int, syntax: uid.UID) -> None:
    """Refuse pixels that are not whole, and put the kind of their colours right where their length tells it."""
    if syntax not in uid.UncompressedTransferSyntaxes:
        return
    if found.BitsAllocated != 1 and found.BitsAllocated % 8:
        raise ImageError(
            f"not a readable DICOM image (it packs pixels of {found.BitsAllocated} bits, which is not read: {CONVERT})"
        )
    whole = found.Rows * found.Columns * found.SamplesPerPixel * found.BitsAllocated / 8
    if found.PhotometricInterpretation == "YBR_FULL_422":
        if length >= whole * found.NumberOfFrames:
            found.PhotometricInterpretation = "YBR_FULL"  # each pixel has its own colour after all
        else:
            whole = whole / 3 * 2
    if length < int(whole) * found.NumberOfFrames:
        raise ImageError(
            "not a readable DICOM image (it holds fewer pixels than its size says: it was cut short, copy it again)"
        )


def _decoded(described: Dataset, syntax: uid.UID) -> tuple[Numbers, dict[str, Any]]:
    """The first frame as pydicom decodes it and what the numbers mean; 8-bit colours as RGB, all else with all bits."""
    as_rgb = described.SamplesPerPixel == 3 and described.BitsAllocated <= 8  # pydicom turns deeper YBR to nothing
    if syntax in uid.JPEG2000TransferSyntaxes and is_endless(_first_frame(described)):
        raise ImageError(f"not a readable DICOM image ({why_undecoded(syntax)})")
    options = {"index": 0, "raw": not as_rgb, "correct_unused_bits": as_rgb}
    failed: Exception | None = None
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ImageError(f"not a readable DICOM image ({why_undecoded(syntax)})") from error
    for plugin in plugins(decoder):
        try:
            values, properties = decoder.as_array(described, decoding_plugin=plugin, **options)
        except Exception as error:  # noqa: BLE001 - decoders fail in more ways than pydicom lists
            failed = error
        else:
            return values, {str(name): value for name, value in properties.items()}
    if failed is None or syntax not in uid.UncompressedTransferSyntaxes:
        raise ImageError(f"not a readable DICOM image ({why_undecoded(syntax)})") from failed
    raise failed


def _first_frame(described: Dataset) -> bytes:
    """The codestream of the first frame, found as pydicom's decoders find it."""
    tables = [described.get(name) for name in _OFFSETS]
    extended = (tables[0], tables[1]) if None not in tables else None
    frames = described.NumberOfFrames
    return bytes(get_frame(described.PixelData, 0, number_of_frames=frames, extended_offsets=extended))


def _stored(raw: Numbers, bits: int, high_bit: int) -> Numbers:
    """The values without the bits that are not used, which may hold anything (PS3.5 8.1.1)."""
    allocated = raw.dtype.itemsize * 8
    info = np.iinfo(raw.dtype)
    unused = allocated - bits
    if unused <= 0:
        return raw
    fits = int(raw.min()) >= info.min >> unused and int(raw.max()) <= info.max >> unused
    shifted = bits - 1 < high_bit < allocated and not fits  # many files misstate the high bit of values that do fit
    integers: Any = raw
    return np.asarray((integers << (allocated - 1 - high_bit if shifted else unused)) >> unused)


def _padding(dataset: Dataset, raw: Numbers, values: Numbers, bits: int) -> Mask | None:
    """Which values are padding: those of PixelPaddingValue, or from it to PixelPaddingRangeLimit; None for none."""
    kind = next(kind for keyword, kind in KEYWORDS.items() if keyword in dataset)
    stated = [first_value(dataset, f"{kind}PixelPadding{end}") for end in ("Value", "RangeLimit")]
    if stated[0] is None:
        return None
    if raw.dtype.kind == "f":
        low, high = stated[0], stated[0] if stated[1] is None else stated[1]
        found = np.isnan(values) if math.isnan(low) else (values >= min(low, high)) & (values <= max(low, high))
    else:
        ends = [_as_stored(end, raw.dtype) for end in stated if end is not None]
        info = np.iinfo(raw.dtype)
        unused = max(0, info.bits - bits)
        fits = info.min >> unused <= min(ends) and max(ends) <= info.max >> unused
        compared = values if fits else raw  # some pad with bits that are not used
        found = (compared >= min(ends)) & (compared <= max(ends))
    return np.asarray(found) if found.any() else None


def _as_stored(value: Any, dtype: np.dtype[Any]) -> int:
    """A padding value as the pixels hold it: files mix up whether it is signed, so it counts modulo its bits."""
    whole = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    return int(
        np.array(whole % 2 ** (dtype.itemsize * 8), f"u{dtype.itemsize}").astype(f"{dtype.kind}{dtype.itemsize}")
    )
