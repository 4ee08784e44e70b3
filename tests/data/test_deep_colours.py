"""Colours and grey of 16 bits, transparency in them, and the formats beside JPEG and PNG."""

import struct
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fracture.data import images
from fracture.data.images import decode
from tests.data.test_images import RAMP, encode
from tests.data.test_tiff import write as tiff


def png(pixels: npt.NDArray[np.uint16], colours: int, see_through: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits a channel [height, width, channels]; Pillow writes none."""
    height, width, _ = pixels.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0))
        + (chunk(b"tRNS", struct.pack(f">{len(see_through)}H", *see_through)) if see_through else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


DEEP = np.arange(24 * 20, dtype=np.uint16).reshape(24, 20, 1) * 8  # of 12 bits
SPREAD = np.round(DEEP[..., 0] / 3832 * 255)


@pytest.mark.parametrize(
    "data",
    [
        png(np.repeat(DEEP, 3, axis=2), 2),
        png(np.concatenate([np.repeat(DEEP, 3, axis=2), np.full_like(DEEP, 65535)], axis=2), 6),
        png(np.concatenate([DEEP, np.full_like(DEEP, 65535)], axis=2), 4),
        b"P6\n20 24\n65535\n" + np.repeat(DEEP, 3, axis=2).astype(">u2").tobytes(),
        b"P6\n# of 12 bits\n20 24\n4095\n" + np.repeat(DEEP, 3, axis=2).astype(">u2").tobytes(),
        b"P5\n20 24\n65535\n" + DEEP.astype(">u2").tobytes(),
    ],
    ids=["RGB", "RGBA", "grey with alpha", "PPM", "PPM of 12 bits", "PGM"],
)
def test_deep_colours_are_stretched_as_deep_grey_is(data: bytes) -> None:
    np.testing.assert_array_equal(decode(data), SPREAD)


@pytest.mark.parametrize("colours", [0, 2])
def test_one_see_through_value_of_deep_pixels_is_black_and_stretches_nothing(colours: int) -> None:
    pixels = np.repeat(DEEP + 1000, 3 if colours else 1, axis=2)
    pixels[:4] = 0
    shown = decode(png(pixels, colours, (0,) * pixels.shape[2]))
    assert not shown[:4].any()
    seen = pixels[4:, :, 0].astype(float)
    np.testing.assert_array_equal(shown[4:], np.round((seen - seen.min()) / (seen.max() - seen.min()) * 255))


def test_deep_colours_are_turned_upright_and_laid_over_black() -> None:
    pixels = np.concatenate([np.repeat(DEEP, 3, axis=2), np.full_like(DEEP, 65535)], axis=2)
    pixels[:, 10:, 3] = 0
    data = png(pixels, 6)
    exif = Image.Exif()
    exif[0x0112] = 6
    held = exif.tobytes()[6:]
    chunk = struct.pack(">I", len(held)) + b"eXIf" + held + struct.pack(">I", zlib.crc32(b"eXIf" + held))
    shown = decode(data)
    assert not shown[:, 10:].any()
    assert shown[:, :10].max() == 255
    np.testing.assert_array_equal(decode(data[:33] + chunk + data[33:]), np.rot90(shown, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_colours_that_were_laid_over_black_before_are_not_laid_twice(mode: str) -> None:
    pixels = np.full((8, 8, len(mode)), 100, np.uint8)  # half seen, and multiplied by that already
    pixels[..., -1] = 128
    data = tiff(pixels, 2 if mode == "RGBA" else 1, more={338: [1]})
    assert np.abs(decode(data).astype(int) - 100).max() <= 1


def test_lightness_of_lab_is_grey() -> None:
    image = Image.merge("LAB", [Image.fromarray(RAMP), *[Image.new("L", (20, 24), 128)] * 2])
    np.testing.assert_array_equal(decode(encode(image, "TIFF")), RAMP)


MORE = {"JPEG2000": {}, "MPO": {"quality": 95}, "AVIF": {"quality": 95}, "PPM": {}}


@pytest.mark.parametrize("kind", MORE)
@pytest.mark.parametrize("colour", [True, False])
def test_more_formats_are_read(kind: str, colour: bool) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    shown = decode(encode(np.dstack([smooth] * 3) if colour else smooth, kind, **MORE[kind]))
    assert np.abs(shown.astype(int) - smooth).mean() < 3


def test_jpeg_2000_of_16_bits_is_stretched() -> None:
    np.testing.assert_array_equal(decode(encode(DEEP[..., 0], "JPEG2000")), SPREAD)


def test_kinds_that_are_read_are_not_called_unread() -> None:
    assert not images.SUFFIXES & images.UNREAD.keys()
    assert {".jp2", ".j2k", ".jpx", ".mpo", ".avif", ".pgm", ".ppm", ".pbm", ".pnm"} <= images.SUFFIXES
    assert {"EPS", "PDF", "MPEG", "PSD", "WMF"}.isdisjoint(images.FORMATS), "they start programs, or have no need"
