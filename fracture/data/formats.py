"""Kinds of image files: which are read, which are known but not read and what to do with them, and what is damaged."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

from PIL import features

SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif",
    ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".pgm", ".ppm", ".pbm", ".pnm", ".dcm", ".dicom",
})  # fmt: skip
# Pillow knows others, some of which start programs (EPS); it opens MPO as JPEG; what an old Pillow lacks comes last
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM", "AVIF")

_AS_PNG = "save them as PNG"
_HEIC = "HEIC photos are not read: export them as JPEG or PNG"
_RAW = "raw files of cameras are not read: develop them and save them as TIFF or PNG"
_VOLUME = "volumes of slices ({}) are not read: export the slice that shows the bone as PNG or DICOM"
_SLIDE = "slides of a microscope are not read: they are no radiographs"
_PAGE = "pages ({}) are not read: export the radiographs in them as PNG"
_PICTURE = "{} files are not read: " + _AS_PNG
UNREAD: Mapping[str, str] = MappingProxyType({
    ".heic": _HEIC, ".heif": _HEIC, ".hif": _HEIC,
    ".nii": _VOLUME.format("NIfTI"), ".nii.gz": _VOLUME.format("NIfTI"), ".mgh": _VOLUME.format("FreeSurfer"),
    ".mgz": _VOLUME.format("FreeSurfer"), ".nrrd": _VOLUME.format("NRRD"), ".nhdr": _VOLUME.format("NRRD"),
    ".mha": _VOLUME.format("MetaImage"), ".mhd": _VOLUME.format("MetaImage"),
    ".svs": _SLIDE, ".ndpi": _SLIDE, ".scn": _SLIDE, ".mrxs": _SLIDE,
    ".raw": "raw pixels without a header are not read: save them as 16-bit PNG or TIFF, which say their size",
    ".dng": _RAW, ".cr2": _RAW, ".cr3": _RAW, ".nef": _RAW, ".arw": _RAW, ".orf": _RAW, ".rw2": _RAW, ".raf": _RAW,
    ".pdf": _PAGE.format("PDF"), ".djvu": _PAGE.format("DjVu"), ".eps": _PAGE.format("PostScript"),
    ".ps": _PAGE.format("PostScript"), ".ai": _PAGE.format("Illustrator"), ".svg": _PAGE.format("SVG"),
    ".psd": _PICTURE.format("Photoshop"), ".psb": _PICTURE.format("Photoshop"), ".xcf": _PICTURE.format("GIMP"),
    ".jxl": _PICTURE.format("JPEG XL"), ".jxr": _PICTURE.format("JPEG XR"), ".wdp": _PICTURE.format("JPEG XR"),
    ".tga": _PICTURE.format("Targa"), ".exr": _PICTURE.format("OpenEXR"), ".pcx": _PICTURE.format("PCX"),
})  # fmt: skip

_UNREAD_MAGICS = (  # by place and bytes; some bear the suffix of a JPEG
    (4, b"ftyphei", ".heic"), (4, b"ftyphev", ".heic"), (4, b"ftypmif1", ".heic"), (4, b"ftypmsf1", ".heic"),
    (0, b"%PDF", ".pdf"), (0, b"%!PS", ".eps"), (0, b"\xc5\xd0\xd3\xc6", ".eps"), (0, b"8BPS", ".psd"),
    (0, b"\xff\x0a", ".jxl"), (0, b"\0\0\0\x0cJXL ", ".jxl"), (344, b"n+1\0", ".nii"), (344, b"ni1\0", ".nii"),
    (0, b"NRRD", ".nrrd"), (0, b"ObjectType =", ".mha"), (0, b"<svg", ".svg"), (0, b"AT&TFORM", ".djvu"),
)  # fmt: skip
_MAGICS = (
    (0, b"\xff\xd8\xff", "JPEG"), (0, b"\x89PNG\r\n\x1a\n", "PNG"), (0, b"GIF8", "GIF"), (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF"), (0, b"II+\0", "TIFF"), (0, b"MM\0+", "TIFF"), (8, b"WEBP", "WebP"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"), (0, b"\0\0\0\x0cjP  ", "JPEG 2000"), (4, b"ftypavi", "AVIF"),
    *((0, b"P%d" % i + space, "PNM") for i in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
)  # fmt: skip
_CODECS = {"AVIF": "avif", "JPEG 2000": "jpg_2000", "WebP": "webp"}  # as Pillow calls them; not in every build
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_CUT_SHORT = ("truncated", "end of file", "end of image", "not enough image data", "broken png file")
_RARE_JPEG = {0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}  # by the marker of the frame


def why_unread(name: str) -> str:
    """Why a file of that name is not read though it is an image, and what to do; empty for all other names."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes[-2:]]
    return UNREAD.get("".join(suffixes)) or UNREAD.get("".join(suffixes[-1:]), "")


def why_unreadable(data: bytes, error: Exception) -> str:
    """Why bytes cannot be decoded, in plain words: what Pillow says of it names buffers, decoders and addresses.

    Args:
        data: the whole file, DICOM excepted.
        error: what Pillow, OpenCV or numpy said.
    """
    if suffix := _match(_UNREAD_MAGICS, data):
        return f"not a readable image ({UNREAD[suffix]})"
    kind = _match(_MAGICS, data)
    if not kind:
        return f"not a readable image (not {', '.join(FORMATS)} or DICOM inside)"
    if kind in _CODECS and _CODECS[kind] not in features.get_supported():
        return f"not a readable image ({kind} files need a newer Pillow: pip install --upgrade pillow)"
    if kind == "JPEG" and (rare := _rare_jpeg(data)):
        return f"not a readable image (a {rare}, which is read in DICOM files only: save it as PNG)"
    told = isinstance(error, EOFError) or any(words in str(error).lower() for words in _CUT_SHORT)
    if told or (kind in _ENDS and _ENDS[kind] not in data[-1024:]):
        return f"not a readable image (the {kind} file ends too early: it was cut short, copy it again)"
    return (
        f"not a readable image (the {kind} file is damaged or of a rare kind: open it in a viewer and save it as PNG)"
    )


@dataclass(frozen=True, slots=True)
class JpegFrame:
    """What the header of a JPEG's frame says.

    Attributes:
        marker: 0xC0 baseline, 0xC1 extended, 0xC3 lossless, 0xF7 JPEG-LS.
        bits: of a sample.
        height: in pixels.
        width: likewise.
    """

    marker: int
    bits: int
    height: int
    width: int


def jpeg_frame(data: bytes) -> JpegFrame | None:
    """The header of a JPEG's frame; None where none is found."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return JpegFrame(marker, *struct.unpack_from(">BHH", data, place + 4))
        if marker == 0xFF:  # fill
            place += 1
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def _match(magics: tuple[tuple[int, bytes, str], ...], data: bytes) -> str:
    return next((kind for place, magic, kind in magics if data[place : place + len(magic)] == magic), "")


def _rare_jpeg(data: bytes) -> str:
    frame = jpeg_frame(data)
    if frame is None:
        return ""
    return _RARE_JPEG.get(frame.marker) or (f"JPEG of {frame.bits} bits per sample" if frame.bits != 8 else "")
