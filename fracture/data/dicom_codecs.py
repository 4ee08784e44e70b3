"""How DICOM pixels are compressed, in words, and the decoders that pydicom and Pillow lack.

Importing this module plugs imagecodecs (BSD-3; libjpeg-turbo, CharLS, OpenJPEG) into pydicom, where it is installed:
12-bit and lossless JPEG, JPEG-LS, deep colours in JPEG 2000, HTJ2K.
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder

from fracture.data.formats import jpeg_frame

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder, DecodeRunner

INSTALL = "pip install -e '.[dicom]'"
CONVERT = "convert it with gdcmconv --raw (GDCM)"
_PLUGIN = "imagecodecs"
_FUNCTIONS = {  # of imagecodecs
    **dict.fromkeys((uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1), "jpeg8_decode"),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, "jpegls_decode"),
    **dict.fromkeys((uid.JPEG2000Lossless, uid.JPEG2000), "jpeg2k_decode"),
    **dict.fromkeys((uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), "jpeg2k_decode"),
}
_NAMES = {  # where the standard's own is a mouthful
    uid.JPEGBaseline8Bit: "JPEG Baseline",
    uid.JPEGExtended12Bit: "JPEG Extended (12 bits)",
    uid.JPEGLossless: "JPEG Lossless (Process 14)",
    uid.JPEGLosslessSV1: "JPEG Lossless (Process 14, Selection Value 1)",
    uid.JPEG2000Lossless: "JPEG 2000 Lossless",
    uid.JPEGLSNearLossless: "JPEG-LS Near-Lossless",
}
_JPEG_2000, _JP2 = b"\xff\x4f\xff\x51", b"jP  "  # how its codestreams and its files begin
_VIDEOS = ("MPEG", "HEVC", "H.264", "SMPTE")
_FRAMES = {0xC0: uid.JPEGBaseline8Bit, 0xC1: uid.JPEGExtended12Bit, 0xC3: uid.JPEGLossless, 0xF7: uid.JPEGLSLossless}
_DCMTK = {"JPEG-LS": "dcmdjpls", "RLE": "dcmdrle", "JPEG": "dcmdjpeg"}  # its tools by the beginning of a name
DECODER_DEPENDENCIES = dict.fromkeys(_FUNCTIONS, (_PLUGIN,))  # pydicom looks for this name in a plugin


def is_available(syntax: str) -> bool:
    """Whether imagecodecs is installed and decodes a transfer syntax; pydicom asks."""
    return syntax in _FUNCTIONS and find_spec(_PLUGIN) is not None


def decode_frame(source: bytes, runner: "DecodeRunner") -> bytes:
    """Decode one frame for pydicom, which checks its size and corrects signs.

    Args:
        source: its codestream.
        runner: pydicom's description of the pixels; it is told here what the decoded bytes are.
    """
    import imagecodecs

    if _size(source) != (runner.rows, runner.columns):  # before anything is allocated for it
        raise ValueError("another size than the file says")
    decode: Callable[[bytes], npt.NDArray[Any]] = getattr(imagecodecs, _FUNCTIONS[runner.transfer_syntax])
    pixels = decode(source)
    if pixels.ndim == 3:
        runner.set_option("planar_configuration", 0)
        lossy = runner.transfer_syntax == uid.JPEGExtended12Bit
        if lossy or runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):  # the codec has turned these to RGB
            runner.set_option("photometric_interpretation", "RGB")
    size = max(pixels.itemsize, runner.bits_allocated // 8)
    runner.set_option("bits_allocated", size * 8)
    return np.ascontiguousarray(pixels, f"{pixels.dtype.kind}{size}").tobytes()


def plugins(decoder: "Decoder") -> list[str]:
    """The names of a decoder's plugins, in the order in which they are tried; one without a name for native pixels.

    GDCM (3.2) ends the whole process at some damaged files, so it is used only where nothing else is installed.
    """
    found = decoder.available_plugins
    safe = sorted((name for name in found if name != "gdcm"), key=lambda name: name == _PLUGIN)
    return safe or list(found) or [""]


def why_undecoded(syntax: uid.UID) -> str:
    """Why pixels could not be decoded, in words, and what to do: install the decoders, or convert the file."""
    name = name_of(syntax)
    if any(word in name for word in _VIDEOS):
        return f"a video ({name}), which is not read: save the frame that shows the bone as PNG"
    if syntax in _FUNCTIONS and not is_available(syntax):
        return f"compressed as {name}, whose decoder is not installed: {INSTALL}"
    tool = next((f" or {tool} (DCMTK)" for start, tool in _DCMTK.items() if name.startswith(start)), "")
    how = CONVERT + ("" if "2000" in name else tool)
    if syntax in _FUNCTIONS or syntax in (uid.JPEGBaseline8Bit, uid.RLELossless):
        return f"compressed as {name}, and damaged or of a rare kind: {how}"
    return f"compressed as {name}, which is not read: {how}"


def name_of(syntax: uid.UID) -> str:
    """A transfer syntax in words."""
    if syntax not in uid.UID_dictionary:  # a file may hold anything there
        return f"an unknown transfer syntax ({syntax})" if syntax.is_valid else "an unknown transfer syntax"
    return _NAMES.get(syntax, str(syntax.name)).removesuffix(" Image Compression")


def is_endless(frame: bytes) -> bool:
    """Whether a JP2 file among the pixels has a box without a length, at which pydicom (3.0) would stay for ever."""
    place = 12 if frame[4:8] == _JP2 else len(frame)
    while place < len(frame) and frame[place + 4 : place + 8] != b"jp2c":
        length = int.from_bytes(frame[place : place + 4], "big")
        if length < 8:
            return True
        place += length
    return False


def _size(codestream: bytes) -> tuple[int, int] | None:
    """Height and width that a codestream says of itself."""
    if codestream[:2] == b"\xff\xd8":
        header = jpeg_frame(codestream)
        return (header.height, header.width) if header else None
    place = codestream.find(_JPEG_2000)
    if place < 0 or len(codestream) < place + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", codestream, place + 8)
    return bottom - top, right - left


def sniff(pixel_data: bytes) -> uid.UID | None:
    """The transfer syntax of compressed pixels whose file does not name it; None where they do not tell either."""
    frame = bytes(get_frame(pixel_data, 0, number_of_frames=1))
    if frame[:2] == b"\xff\xd8":
        header = jpeg_frame(frame)
        return _FRAMES.get(header.marker) if header else None
    if frame[:4] == _JPEG_2000 or frame[4:8] == _JP2:
        return uid.JPEG2000
    return uid.RLELossless if frame[0] in range(1, 16) and frame[1:8] == b"\0\0\0\x40\0\0\0" else None


for _syntax in _FUNCTIONS:
    with suppress(ValueError):  # plugged in before
        get_decoder(_syntax).add_plugin(_PLUGIN, (__name__, decode_frame.__name__))
