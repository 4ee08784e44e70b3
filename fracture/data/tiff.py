"""TIFF files that Pillow reads wrongly or not at all: deep colours, signed numbers, white as zero, rare layouts.

libtiff, through Pillow, still undoes the compression: a directory is put behind the file that calls its rows plain
bytes. What these bytes mean is decided here (TIFF 6.0, 1992; Adobe's technical note 3 for predictor 3, 2005).
"""

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from fracture.data.pixels import (
    MAX_PIXELS,
    Floats,
    Grey,
    ImageError,
    Numbers,
    check_size,
    luminance,
    over_black,
    stretch,
)

MAGICS = (b"II*\0", b"MM\0*", b"II+\0")  # the last one is BigTIFF
_BYTEWISE = (1, 5, 8, 32773, 32946, 34925, 50000)  # none, LZW, deflate, PackBits, deflate, LZMA, Zstandard
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_BITS = {"u": (*range(8, 17), 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}  # by SampleFormat; 4 says nothing
_MAX_SAMPLES = 16
_MAX_BYTES = 8 * MAX_PIXELS

_WIDTH, _LENGTH, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 274, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_LENGTH, _TILES, _TILE_BYTES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 322, 323, 324, 325, 338, 339


@dataclass(frozen=True, slots=True)
class Page:
    """The first page of a TIFF file.

    Attributes:
        data: the whole file.
        tags: the page's directory.
        width: in pixels, as stored.
        height: likewise.
        bits: of a sample.
        kind: of a sample: ``u`` unsigned, ``i`` signed, ``f`` floating point.
        samples: of a pixel, extra ones included.
        photometric: 0 white is zero, 1 black is zero, 2 RGB.
        separate: whether each sample has a plane of its own.
    """

    data: bytes
    tags: ImageFileDirectory_v2
    width: int
    height: int
    bits: int
    kind: str
    samples: int
    photometric: int
    separate: bool

    @property
    def colours(self) -> int:
        """Samples of a pixel that are no extra ones."""
        return 3 if self.photometric == _RGB else 1

    @property
    def plain(self) -> bool:
        """Whether samples are unsigned bytes, shown as they are; all others are stretched."""
        return (self.bits, self.kind) == (8, "u")

    @property
    def orientation(self) -> int:
        """As in EXIF; 1 is upright."""
        return _numbers(self.tags, _ORIENTATION, 1)[0]


def find(data: bytes) -> Page | None:
    """The first page of a TIFF file that Pillow would read wrongly or not at all; None for any other file.

    Raises:
        ImageError: the size is none of a radiograph.
        Exception: whatever Pillow says of a damaged directory.
    """
    if data[:4] not in MAGICS:
        return None
    tags = ImageFileDirectory_v2(data[: 16 if data[2] == 43 else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    bits, formats = _numbers(tags, _BITS_PER_SAMPLE, 1), _numbers(tags, _SAMPLE_FORMAT, 1)
    samples = _numbers(tags, _SAMPLES, 1)[0]
    page = Page(
        data,
        tags,
        width=_numbers(tags, _WIDTH, 0)[0],
        height=_numbers(tags, _LENGTH, 0)[0],
        bits=bits[0],
        kind=_KINDS.get(formats[0], ""),
        samples=samples,
        photometric=_numbers(tags, _PHOTOMETRIC, _WHITE_IS_ZERO)[0],
        separate=samples > 1 and _numbers(tags, _PLANAR, 1)[0] == 2,
    )
    if len({*bits}) > 1 or len({*formats}) > 1 or not _readable(page) or _pillow_is_right(page):
        return None
    check_size(page.width, page.height)
    return page


def grey_of(page: Page) -> Grey:
    """Grey pixels [height, width] as stored, not yet turned upright.

    Unsigned bytes are shown as they are, all other numbers stretched; what is transparent is laid over black.

    Raises:
        ImageError: a value is not finite, or there are too many bytes.
        Exception: whatever Pillow and numpy say of a damaged file.
    """
    values = _pixels(page)
    grey = luminance(values) if page.colours == 3 else np.asarray(values[..., 0], np.float64)
    if page.photometric == _WHITE_IS_ZERO:
        grey = (255.0 if page.plain else 0.0) - grey
    alpha = _alpha(page, values)
    if not page.plain:
        return stretch(grey) if alpha is None else over_black(grey, alpha)
    return np.asarray(np.round(grey if alpha is None else grey * alpha), np.uint8)


def _numbers(tags: ImageFileDirectory_v2, tag: int, default: int) -> tuple[int, ...]:
    """The numbers of a tag, one at least."""
    value: Any = tags.get(tag, default)
    return tuple(int(number) for number in (value if isinstance(value, tuple) else (value,))) or (default,)


def _readable(page: Page) -> bool:
    known = page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) and page.bits in _BITS.get(page.kind, ())
    whole = page.colours <= page.samples <= _MAX_SAMPLES
    return known and whole and _numbers(page.tags, _COMPRESSION, 1)[0] in _BYTEWISE


def _pillow_is_right(page: Page) -> bool:
    """Whether Pillow, which is faster, gives the pixels of a page as they are."""
    if page.kind != "u" or page.bits not in (8, 16):
        return False
    if page.bits == 16:
        return page.samples == 1 and page.photometric == _BLACK_IS_ZERO
    with_alpha = page.samples == 2 and page.photometric == _BLACK_IS_ZERO and not page.separate
    return page.samples == 1 or page.photometric == _RGB or (with_alpha and _EXTRA_SAMPLES in page.tags)


def _alpha(page: Page, values: Numbers) -> Floats | None:
    """How much of each pixel is seen, 0 to 1; None where all is."""
    kind = _numbers(page.tags, _EXTRA_SAMPLES, 0)[0]
    if kind not in (1, 2) or page.samples == page.colours:
        return None
    top = 1.0 if page.kind == "f" else 2.0 ** (page.bits - (page.kind == "i")) - 1
    alpha = np.clip(np.asarray(values[..., page.colours], np.float64) / top, 0, 1)
    return (
        np.asarray(alpha > 0, np.float64) if kind == 1 else alpha
    )  # of 1 the colours have been laid over black before


def _pixels(page: Page) -> Numbers:
    """All samples, [height, width, samples]."""
    planes = page.samples if page.separate else 1
    across = _numbers(page.tags, _TILE_WIDTH, page.width)[0] if _TILES in page.tags else page.width
    columns = -(-page.width // across)
    row_bytes = -(-across * (page.samples // planes) * page.bits // 8)  # of one strip or tile
    if row_bytes * columns * page.height * planes > _MAX_BYTES:
        raise ImageError(f"holds more than {_MAX_BYTES:,} bytes of pixels")
    stored = [_bytes(page, plane, planes, row_bytes * columns) for plane in range(planes)]
    whole = [
        np.concatenate([_values(page, part, across) for part in np.split(plane, columns, axis=1)], axis=1)
        for plane in stored
    ]
    return np.concatenate(whole, axis=2)[:, : page.width]


def _bytes(page: Page, plane: int, planes: int, row_bytes: int) -> Grey:
    """The unpacked bytes of one plane, [height, row_bytes]: read as if they were 8-bit grey values."""
    tiled = _TILES in page.tags
    places, lengths = (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
    tags: dict[int, tuple[int, ...]] = {_WIDTH: (row_bytes,), _LENGTH: (page.height,)}
    tags |= {_BITS_PER_SAMPLE: (8,), _PHOTOMETRIC: (_BLACK_IS_ZERO,)}
    for tag in (_COMPRESSION, _FILL_ORDER, _ROWS_PER_STRIP, _TILE_LENGTH):
        if tag in page.tags:
            tags[tag] = _numbers(page.tags, tag, 1)
    for tag in (places, lengths):
        if tag in page.tags:
            every = _numbers(page.tags, tag, 0)
            tags[tag] = every[plane * len(every) // planes : (plane + 1) * len(every) // planes]
    if tiled:
        tags[_TILE_WIDTH] = (row_bytes // -(-page.width // _numbers(page.tags, _TILE_WIDTH, page.width)[0]),)
    with TiffImageFile(io.BytesIO(_retagged(page.data, tags))) as image:
        image.load()
        return np.asarray(image)


def _retagged(data: bytes, tags: dict[int, tuple[int, ...]]) -> bytes:
    """The same file with another directory, put behind it; all values are LONG."""
    order = "<" if data[:2] == b"II" else ">"
    start = len(data) + len(data) % 2
    entries, more = struct.pack(f"{order}H", len(tags)), b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}L", *values)
        if len(values) > 1:
            place = start + 2 + 12 * len(tags) + 4 + len(more)
            packed, more = struct.pack(f"{order}L", place), more + packed
        entries += struct.pack(f"{order}HHL", tag, 4, len(values)) + packed
    header = data[:2] + struct.pack(f"{order}HL", 42, start)
    return header + data[8:] + b"\0" * (len(data) % 2) + entries + b"\0" * 4 + more


def _values(page: Page, raw: Grey, width: int) -> Numbers:
    """What the bytes [height, row_bytes] of a strip or tile mean: [height, width, samples]."""
    height, size = len(raw), page.bits // 8
    order = "<" if page.data[:2] == b"II" else ">"
    predictor = _numbers(page.tags, _PREDICTOR, 1)[0]
    if page.bits % 8:
        if predictor != 1:
            raise ImageError("a TIFF of a rare kind (packed bits with a predictor): save it as PNG")
        return _unpacked(raw, page.bits)[:, : raw.shape[1] * 8 // page.bits // width * width].reshape(height, width, -1)
    raw = np.ascontiguousarray(raw)
    if predictor == 3:  # differences of bytes, the highest bytes of all samples first
        samples = raw.shape[1] // (width * size)
        whole = np.cumsum(raw.reshape(height, -1, samples), axis=1, dtype=np.uint8).reshape(height, size, -1)
        raw, order = np.ascontiguousarray(whole.transpose(0, 2, 1)).reshape(height, -1), ">"
    numbers = raw.view(f"{order}u{size}").reshape(height, width, -1)
    if predictor == 2:  # differences of neighbours
        numbers = np.cumsum(numbers, axis=1, dtype=f"u{size}")
        order = "="
    return numbers.view(f"{order}{page.kind}{size}")


def _unpacked(raw: Grey, bits: int) -> Numbers:
    """Numbers of 9 to 15 bits that lie side by side, the highest bit first: [height, whole numbers of a row]."""
    loose = np.unpackbits(raw, axis=1)
    loose = loose[:, : loose.shape[1] // bits * bits].reshape(len(raw), -1, bits)
    values = np.zeros(loose.shape[:2], np.uint16)
    for bit in range(bits):
        values = values << 1 | loose[..., bit]
    return values
