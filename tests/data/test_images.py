"""One image: what is refused and why, what becomes grey in which way, and the square that loses nothing."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from fracture.data import images
from fracture.data.images import ImageError, check_size, decode, letterbox, stretch

Grey = npt.NDArray[np.uint8]
RAMP = np.arange(24 * 20, dtype=np.uint16).reshape(24, 20).astype(np.uint8)
CORNERS = np.zeros((32, 24), np.uint8)  # no two of its eight turned and mirrored copies look the same
CORNERS[:8, :8], CORNERS[:8, 16:], CORNERS[24:, :8] = 240, 160, 80


def encode(image: Image.Image | npt.NDArray[np.generic], kind: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    held = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(held, kind, **options)
    return held.getvalue()


def huge() -> bytes:
    """A few bytes that claim to be 20,000 x 20,000 pixels."""
    small = encode(RAMP, "BMP")
    side = (20_000).to_bytes(4, "little")
    return small[:18] + side + side + small[26:]


BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"this is a text", "not a readable image"),
    "html": (b"<html><body>404 not found</body></html>", "not a readable image"),
    "zeros": (bytes(5000), "not a readable image"),
    "signature only": (b"\x89PNG\r\n\x1a\n", "not a readable image"),
    "truncated png": (encode(RAMP)[:-40], "not a readable image"),
    "truncated jpeg": (encode(np.tile(RAMP, (20, 20)), "JPEG")[:3000], "not a readable image"),
    "truncated tiff": (encode(RAMP, "TIFF")[:200], "not a readable image"),
    "flipped byte in a png": (encode(RAMP).replace(b"IDAT", b"IDAX"), "not a readable image"),
    "bomb": (huge(), "more than 100,000,000 pixels"),
    "strip": (encode(np.zeros((1, 51), np.uint8)), "51 x 1 is longer than 50 times its width"),
    "standing strip": (encode(np.zeros((120, 2), np.uint8)), "2 x 120 is longer than 50 times its width"),
    "nan": (encode(np.array([[0.0, np.nan]], np.float32).repeat(8, 0), "TIFF"), "values that are not finite"),
    "infinite": (encode(np.array([[0.0, np.inf]], np.float32).repeat(8, 0), "TIFF"), "values that are not finite"),
    "postscript": (encode(RAMP, "EPS"), "not a readable image"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value), "the address of a buffer helps nobody, and differs each time"


def test_no_program_is_started_for_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    for name in ("run", "Popen", "check_call", "check_output"):
        monkeypatch.setattr(f"subprocess.{name}", refuse)
    with pytest.raises(ImageError):
        decode(encode(RAMP, "EPS"))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(
        [
            encode(RAMP),
            encode(RAMP, "JPEG"),
            encode(RAMP, "GIF"),
            encode(RAMP, "TIFF", compression="tiff_lzw"),
            encode(RAMP, "BMP"),
            encode(RAMP, "WEBP"),
            encode(RAMP.astype(np.uint16) * 200),
        ]
    ),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    st.integers(10, 2000),
)
def test_damaged_files_are_decoded_or_refused_never_more(
    data: bytes, damage: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(data)
    for place, value in damage:
        damaged[place % len(damaged)] = value
    try:
        grey = decode(bytes(damaged[:length]))
    except ImageError:
        return
    assert grey.dtype == np.uint8
    assert grey.ndim == 2


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_grey_files_come_back_exactly(kind: str) -> None:
    np.testing.assert_array_equal(decode(encode(RAMP, kind)), RAMP)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_files_come_back_nearly(kind: str) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    assert np.abs(decode(encode(smooth, kind, quality=95)).astype(int) - smooth).mean() < 3


def test_colours_become_their_luminance() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4], pixels[:, 4:] = (255, 0, 0), (0, 255, 0)
    grey = decode(encode(pixels))
    assert (grey[0, 0], grey[0, 7]) == (76, 149 + 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_is_stretched_over_the_whole_range(kind: str) -> None:
    deep = np.linspace(1000, 5095, 64).astype(np.uint16).reshape(8, 8)
    grey = decode(encode(deep, kind))
    assert (grey.min(), grey.max()) == (0, 255)
    np.testing.assert_allclose(grey, (deep - 1000.0) / 4095 * 255, atol=0.51)


def test_32_bit_and_floating_point_are_stretched() -> None:
    for values in (np.array([[-3, 1]] * 8, np.int32), np.array([[-0.5, 2.5]] * 8, np.float32)):
        np.testing.assert_array_equal(decode(encode(values, "TIFF"))[0], [0, 255])


def test_16_bit_of_one_value_is_black() -> None:
    assert not decode(encode(np.full((8, 8), 3000, np.uint16))).any()


def test_palettes_are_looked_up() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 200, 200])
    assert (decode(encode(image)) == 200).all()


def test_one_bit_is_black_and_white() -> None:
    image = Image.fromarray(RAMP).convert("1", dither=Image.Dither.NONE)
    assert set(np.unique(decode(encode(image)))) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_black(mode: str) -> None:
    image = Image.new(mode, (8, 8), (*(200,) * (len(mode) - 1), 0))
    image.paste((*(200,) * (len(mode) - 1), 255), (0, 0, 4, 8))
    grey = decode(encode(image))
    assert (grey[:, :4] == 200).all()
    assert (grey[:, 4:] == 0).all()


def test_transparent_palettes_are_laid_over_black() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([90, 90, 90, 200, 200, 200])
    image.paste(0, (4, 0, 8, 8))
    grey = decode(encode(image, transparency=0))
    assert (grey[:, :4] == 200).all()
    assert (grey[:, 4:] == 0).all()


def test_cmyk_is_read_with_its_meaning() -> None:
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert decode(encode(white, "JPEG")).min() > 250
    assert decode(encode(white, "TIFF")).min() > 250


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("L", (16, 16), value) for value in (200, 20, 90)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(decode(data).astype(int) - 200).max() < 3


TURNS = {  # EXIF orientation: how the stored pixels came from the upright ones
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.T,
    6: np.rot90,
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, 3),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_images_are_turned_upright(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(TURNS[orientation](CORNERS))
    grey = decode(encode(stored, kind, exif=exif))
    assert grey.shape == CORNERS.shape
    assert np.abs(grey.astype(int) - CORNERS).mean() < 3


def test_odd_tags_do_not_matter() -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    data = encode(RAMP, "JPEG", exif=exif)
    odd = data.replace(b"MM\x00\x2a\x00\x00\x00\x08", b"MM\x00\x2a\x00\xff\xff\xff")
    assert odd != data
    np.testing.assert_array_equal(decode(odd), decode(data))


def test_decoding_in_threads_leaves_the_warnings_as_they_were() -> None:
    data = encode(np.tile(RAMP, (8, 8)), "JPEG")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(decode, [data] * 400))
        assert warnings.filters == before


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [(0, 5, "has no pixels"), (5, 0, "has no pixels"), (10_001, 10_000, "more than"), (1, 51, "longer than")],
)
def test_sizes_are_checked(width: int, height: int, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        check_size(width, height)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (10_000, 10_000), (50, 1), (1, 50)])
def test_sizes_at_the_limit_pass(width: int, height: int) -> None:
    check_size(width, height)


@given(hnp.arrays(np.float64, (4, 5), elements=st.floats(-1e6, 1e6)))
def test_stretching_keeps_the_order(values: npt.NDArray[np.float64]) -> None:
    grey = stretch(values)
    assert (np.diff(grey.ravel()[np.argsort(values.ravel())].astype(int)) >= 0).all()
    if values.max() > values.min():
        assert (grey.min(), grey.max()) == (0, 255)


@settings(deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), st.integers(32, 96))
def test_the_square_holds_the_whole_image(height: int, width: int, size: int) -> None:
    square = letterbox(np.full((height, width), 255, np.uint8), size)
    rows, columns = np.flatnonzero(square.any(1)), np.flatnonzero(square.any(0))
    assert square.shape == (size, size)
    assert max(len(rows), len(columns)) == size
    assert square.sum() // 255 == len(rows) * len(columns)  # one rectangle, everything else black
    assert abs(len(rows) / len(columns) - height / width) <= (height / width + 1) / min(len(rows), len(columns))
    assert abs(rows[0] - (size - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (size - 1 - columns[-1])) <= 1


def test_a_square_of_the_right_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    np.testing.assert_array_equal(letterbox(pixels, 64), pixels)


def test_every_corner_is_kept() -> None:
    pixels = np.zeros((300, 200), np.uint8)
    for corner in (np.s_[:30, :30], np.s_[:30, -30:], np.s_[-30:, :30], np.s_[-30:, -30:]):
        pixels[corner] = 255
    square = letterbox(pixels, 60)
    assert [int(square[y, x]) for y in (1, 58) for x in (11, 48)] == [255] * 4


def test_all_real_radiographs_are_read(real_data: Path) -> None:
    files = sorted(path for path in real_data.rglob("*") if path.suffix.lower() in images.SUFFIXES)[::20]
    assert files
    for path in files:
        square = letterbox(decode(path.read_bytes()), 64)
        assert square.std() > 5, path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned_as_the_metadata_say(orientation: int) -> None:
    grey = Image.fromarray(np.arange(48 * 40, dtype=np.uint8).reshape(48, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    grey.save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(decode(buffer.getvalue()), np.asarray(ImageOps.exif_transpose(Image.open(buffer))))


def test_odd_metadata_beside_the_orientation_do_no_harm() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x0128] = 6, "inch"  # the unit of resolution as text
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((48, 40), np.uint8)).save(buffer, "JPEG", exif=exif)
    assert decode(buffer.getvalue()).shape == (40, 48)
