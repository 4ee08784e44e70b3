"""TIFF files of rare kinds: the numbers in them come back exactly, whatever their type, byte order and compression."""

import itertools
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fracture.data import tiff
from fracture.data.audit.traits import measure
from fracture.data.images import ImageError, decode, opened

FORMATS = {"u": 1, "i": 2, "f": 3}
PACKINGS = {  # compression and predictor
    "none": (1, 1), "LZW": (5, 1), "LZW, differences": (5, 2), "deflate": (8, 1), "deflate, differences": (8, 2),
    "PackBits": (32773, 1), "floating-point predictor": (8, 3),
}  # fmt: skip


def write(
    pixels: np.ndarray[Any, Any], photometric: int = 1, order: str = "<", compression: int = 1, predictor: int = 1,
    separate: bool = False, rows: int = 0, tile: int = 0, more: dict[int, list[int]] | None = None,
) -> bytes:  # fmt: skip
    """A TIFF of pixels [height, width, samples], made by hand."""
    height, width, samples = pixels.shape
    planes = [pixels[..., i : i + 1] for i in range(samples)] if separate else [pixels]
    blocks = [block for plane in planes for block in cut(plane, rows or height, tile)]
    packed = [pack(encode(block, order, predictor), compression) for block in blocks]
    places = list(itertools.accumulate((len(block) for block in packed), initial=8))
    bits, kind = pixels.dtype.itemsize * 8, FORMATS[pixels.dtype.kind]
    tags = {
        256: [width], 257: [height], 258: [bits] * samples, 259: [compression], 262: [photometric], 277: [samples],
        284: [2 if separate else 1], 317: [predictor], 339: [kind] * samples,
    } | (more or {})  # fmt: skip
    lengths = [len(block) for block in packed]
    tags |= {322: [tile], 323: [tile], 324: places[:-1], 325: lengths} if tile else {
        273: places[:-1], 278: [rows or height], 279: lengths,
    }  # fmt: skip
    return head(order, places[-1]) + b"".join(packed) + directory(tags, order, places[-1])


def head(order: str, place: int) -> bytes:
    return (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, place)


def directory(tags: dict[int, list[int]], order: str, place: int) -> bytes:
    """An image file directory of LONG values."""
    entries, behind = struct.pack(f"{order}H", len(tags)), b""
    for tag, values in sorted(tags.items()):
        data = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            data, behind = struct.pack(f"{order}I", place + 6 + 12 * len(tags) + len(behind)), behind + data
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + data
    return entries + bytes(4) + behind


def cut(plane: np.ndarray[Any, Any], rows: int, tile: int) -> list[np.ndarray[Any, Any]]:
    """The strips or the padded tiles of one plane."""
    if not tile:
        return [plane[i : i + rows] for i in range(0, len(plane), rows)]
    height, width = (-(-n // tile) * tile for n in plane.shape[:2])
    whole = np.pad(plane, ((0, height - plane.shape[0]), (0, width - plane.shape[1]), (0, 0)))
    return [whole[y : y + tile, x : x + tile] for y in range(0, height, tile) for x in range(0, width, tile)]


def encode(block: np.ndarray[Any, Any], order: str, predictor: int) -> tuple[bytes, int]:
    """The bytes of a block [height, width, samples] and how many make a row."""
    height, width, samples = block.shape
    size = block.dtype.itemsize
    if predictor == 3:  # the highest bytes of all samples first, then differences of bytes
        planes = block.astype(block.dtype.newbyteorder(">")).view(np.uint8).reshape(height, width * samples, size)
        loose = planes.transpose(0, 2, 1).reshape(height, -1, samples)
        return np.diff(loose, axis=1, prepend=np.zeros_like(loose[:, :1])).tobytes(), width * samples * size
    if predictor == 2:
        whole = np.ascontiguousarray(block).view(f"u{size}")
        block = np.diff(whole, axis=1, prepend=np.zeros_like(whole[:, :1]))
    return block.astype(block.dtype.newbyteorder(order)).tobytes(), width * samples * size


def pack(rows: tuple[bytes, int], compression: int) -> bytes:
    """Compressed as a strip of a TIFF is; Pillow does what is not deflate."""
    data, row = rows
    if compression in (1, 8):
        return zlib.compress(data) if compression == 8 else data
    image = Image.fromarray(np.frombuffer(data, np.uint8).reshape(-1, row))
    held = BytesIO()
    image.save(held, "TIFF", compression={5: "tiff_lzw", 32773: "packbits"}[compression], strip_size=2**30)
    with Image.open(BytesIO(held.getvalue())) as written:
        (place,), (length,) = written.tag_v2[273], written.tag_v2[279]  # type: ignore[attr-defined]
    return held.getvalue()[place : place + length]


def sample(kind: str, samples: int = 1, height: int = 21, width: int = 37) -> np.ndarray[Any, Any]:
    """Numbers over most of a type's range, [height, width, samples]."""
    part = np.linspace(0.02, 0.97, height * width * samples).reshape(height, width, samples)
    if kind[0] == "f":
        return (part * 3 - 1).astype(kind)
    info = np.iinfo(kind)
    return (info.min * (1 - part) + info.max * part).astype(kind)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4", "i1", "f4", "f8", "f2"])
def test_numbers_come_back_exactly(kind: str, packing: str, order: str) -> None:
    compression, predictor = PACKINGS[packing]
    if predictor == 3 and kind[0] != "f":
        pytest.skip("it is for floating-point numbers")
    for layout in ({}, {"rows": 4}, {"tile": 16}):
        for samples, photometric, separate in ((1, 0, False), (3, 2, False), (3, 2, True), (2, 1, False), (4, 2, True)):
            pixels = sample(kind, samples)
            page = tiff.find(write(pixels, photometric, order, compression, predictor, separate, **layout))
            assert page is not None
            np.testing.assert_array_equal(tiff._pixels(page), pixels)


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.sampled_from(["u2", "f4"]), st.integers(1, 9), st.booleans())
def test_all_sizes_come_back_exactly(width: int, height: int, kind: str, rows: int, tiled: bool) -> None:
    pixels = sample(kind, 3, height, width)
    layout = {"tile": 16} if tiled else {"rows": rows}
    if max(width, height) <= 50 * min(width, height):
        page = tiff.find(write(pixels, 2, ">", 8, 2 if kind == "u2" else 3, **layout))
        assert page is not None
        np.testing.assert_array_equal(tiff._pixels(page), pixels)


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("photometric", [0, 1])
def test_packed_bits_are_unpacked(bits: int, photometric: int) -> None:
    values = np.arange(24 * 21).reshape(24, 21) * 5 % 2**bits
    loose = (values[..., None] >> np.arange(bits)[::-1] & 1).reshape(24, -1).astype(np.uint8)
    packed = np.packbits(loose, axis=1).tobytes()
    tags = {256: [21], 257: [24], 258: [bits], 259: [1], 262: [photometric], 273: [8], 277: [1], 279: [len(packed)]}
    shown = decode(head("<", 8 + len(packed)) + packed + directory(tags, "<", 8 + len(packed)))
    wanted = np.round((values - values.min()) / np.ptp(values) * 255)
    assert np.abs(shown - (wanted if photometric else 255 - wanted)).max() <= 1


@pytest.mark.parametrize("kind", ["u1", "u2", "i1", "i2", "u4", "f4"])
def test_white_that_is_zero_is_turned(kind: str) -> None:
    pixels = sample(kind)
    light, dark = decode(write(pixels, 1)), decode(write(pixels, 0))
    assert np.abs(255 - dark.astype(int) - light).max() <= 1
    np.testing.assert_array_equal(decode(write(pixels, 0, ">")), dark)


def test_bytes_are_shown_as_they_are_also_with_alpha_and_white_as_zero() -> None:
    pixels = np.stack([sample("u1")[..., 0] // 2, np.full((21, 37), 255)], axis=-1).astype(np.uint8)
    np.testing.assert_array_equal(decode(write(pixels, 0, more={338: [2]})), 255 - pixels[..., 0])
    np.testing.assert_array_equal(decode(write(pixels, 1, more={338: [2]}, separate=True)), pixels[..., 0])


@pytest.mark.parametrize(("kind", "opaque"), [("u2", 65535), ("f4", 1.0), ("i2", 32767)])
@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize(("colours", "photometric"), [(1, 1), (3, 2)])
def test_transparency_is_laid_over_black_and_stretches_nothing(
    colours: int, photometric: int, extra: int, kind: str, opaque: float
) -> None:
    pixels = np.concatenate([np.repeat(sample(kind), colours, axis=2), np.full((21, 37, 1), opaque, kind)], axis=2)
    pixels[:5, :, colours] = 0
    shown = decode(write(pixels, photometric, more={338: [extra]}))
    seen = pixels[5:, :, 0] if extra else pixels[..., 0]  # an extra sample of 0 is no alpha
    wanted = np.round((seen - float(seen.min())) / (float(seen.max()) - float(seen.min())) * 255)
    assert np.abs(shown[5:] - wanted[-16:]).max() <= 1
    assert (shown[:5] == 0).all() == bool(extra)


def test_half_seen_is_half_as_bright() -> None:
    pixels = np.stack([sample("u2")[..., 0], np.full((21, 37), 32768)], axis=-1).astype(np.uint16)
    whole = decode(write(pixels[..., :1]))
    assert np.abs(decode(write(pixels, more={338: [2]})) - whole / 2).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_are_turned_upright(orientation: int) -> None:
    plain, deep = sample("u1"), sample("u1").astype(np.uint16) * 257
    plain[0, 0], deep[0, 0] = 0, 0
    plain[0, 1], deep[0, 1] = 255, 65535
    turned = decode(write(plain, more={274: [orientation]}))
    np.testing.assert_array_equal(decode(write(deep, 0, more={274: [orientation]})), 255 - turned)


def test_of_several_pages_the_first_is_read() -> None:
    first, second = write(sample("i2")), write(sample("i2")[::-1])
    assert not np.array_equal(decode(first), decode(second))
    place = len(first) - len(first) % 2
    at = struct.unpack_from("<I", first, 4)[0]
    count = struct.unpack_from("<H", first, at)[0]
    both = bytearray(first) + second
    struct.pack_into("<I", both, at + 2 + 12 * count, place)
    np.testing.assert_array_equal(decode(bytes(both)), decode(first))


@pytest.mark.parametrize(("kind", "photometric"), [("u1", 0), ("u1", 1), ("u2", 1)])
def test_what_pillow_reads_right_is_left_to_it(kind: str, photometric: int) -> None:
    assert tiff.find(write(sample(kind), photometric)) is None


@pytest.mark.parametrize("data", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n", b"MM\0+" + bytes(40)])
def test_other_files_are_none_of_its_business(data: bytes) -> None:
    assert data[:4] in tiff.MAGICS or tiff.find(data) is None
    with pytest.raises(ImageError):
        decode(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "samples", "photometric"), [("u2", 1, 0), ("u2", 2, 1), ("f8", 1, 1), ("i2", 3, 2)])
def test_what_only_we_read_has_its_properties_too(kind: str, samples: int, photometric: int, order: str) -> None:
    """The audit and the server look at each image beside its pixels; Pillow knows none of these whatever the order."""
    data = write(sample(kind, samples, 80, 90), photometric, order)
    with opened(data) as image:
        assert len(image.getbands()) == (3 if photometric == 2 else 1)
    assert np.isfinite(measure(data, decode(data))).all()


@settings(deadline=None)
@given(st.floats(0.01, 1), st.sampled_from(list(PACKINGS.values())[:-1]))
def test_cut_files_are_refused(part: float, packing: tuple[int, int]) -> None:
    data = write(sample("u2", 3), 2, ">", *packing)
    place = struct.unpack_from(">I", data, 4)[0]  # of the directory
    with pytest.raises(ImageError):
        decode(data[: int(place * part)])
