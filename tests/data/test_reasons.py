"""Every reason for refusing an image, in words that a radiographer understands: no programs, no addresses, whole."""

import ast
import builtins
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from fracture.data.formats import UNREAD, why_unread
from fracture.data.images import ImageError, decode
from fracture.data.pixels import check_size, stretch
from tests.data.dicoms import RAMP, bare, dataset_of, make, whole
from tests.data.test_tiff import sample, write

PROGRAMS = re.compile(
    r"Error|Exception|0x|numpy|PIL\b|pydicom|imagecodecs|cv2|OpenCV|libtiff|Traceback|array|buffer|stream|NoneType|object"
    r"|attribute|tuple|dtype|codec\b|_io|\bNone\b|[<>{}\\]|\.py\b|\(\)"
)
GREY = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
FILES = {  # Pillow's name, options
    "JPEG": {}, "PNG": {}, "BMP": {}, "GIF": {}, "WEBP": {"lossless": True}, "JPEG2000": {}, "PPM": {}, "AVIF": {},
    "TIFF": {}, "TIFF packed": {"compression": "tiff_lzw"}, "MPO": {}, "PNG of 16 bits": {},
}  # fmt: skip
MAGICS = {
    ".heic": b"\0\0\0\x18ftypheic", ".pdf": b"%PDF-1.7\n", ".eps": b"%!PS-Adobe", ".psd": b"8BPS\0\1",
    ".jxl": b"\xff\x0a\0\0", ".nii": bytes(344) + b"n+1\0", ".nrrd": b"NRRD0004\n", ".mha": b"ObjectType = Image\n",
    ".djvu": b"AT&TFORM", ".svg": b"<svg xmlns",
}  # fmt: skip
KINDS = {  # SOP class: how it is called
    "1.2.840.10008.5.1.4.1.1.88.11": "a Basic Text SR",
    "1.2.840.10008.5.1.4.1.1.88.33": "a Comprehensive SR",
    "1.2.840.10008.5.1.4.1.1.481.5": "an RT Plan",
    "1.2.840.10008.5.1.4.1.1.481.3": "an RT Structure Set",
    "1.2.840.10008.5.1.4.1.1.104.1": "an Encapsulated PDF",
    "1.2.840.10008.5.1.4.1.1.9.1.1": "a 12-lead ECG Waveform",
    "1.2.840.10008.5.1.4.1.1.11.1": "a Grayscale Softcopy Presentation State",
    "1.2.840.10008.5.1.4.1.1.88.59": "a Key Object Selection Document",
}


def plain(reason: str) -> None:
    """One line of plain words, whole."""
    assert not PROGRAMS.search(reason), reason
    assert len(reason) <= 220, reason
    assert "\n" not in reason
    assert reason.count("(") == reason.count(")"), f"cut off: {reason}"
    assert re.search(r"[\w)'.]$", reason), f"cut off: {reason}"
    assert re.match(r"[a-z0-9]|DICOM|HEIC", reason), reason


def refused(data: bytes) -> str:
    """The reason for refusing bytes."""
    with pytest.raises(ImageError) as caught:
        decode(data)
    plain(str(caught.value))
    return str(caught.value)


def file(kind: str) -> bytes:
    """A file of noise."""
    held = io.BytesIO()
    pixels = NOISE.astype(np.uint16) * 257 if kind == "PNG of 16 bits" else NOISE
    Image.fromarray(pixels).save(held, kind.split(" ")[0], **FILES[kind])
    return held.getvalue()


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("part", [0.98, 0.9, 0.5, 0.1, 0.02])
def test_what_is_cut_short_is_called_so_or_damaged(kind: str, part: float) -> None:
    data = file(kind)
    reason = refused(data[: int(len(data) * part)])
    assert re.search(r"ends too early: it was cut short|is damaged or of a rare kind|DICOM inside", reason)
    if kind in ("JPEG", "PNG", "MPO") and part > 0.02:
        assert "cut short" in reason


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=9),
)
def test_what_is_damaged_is_told_in_plain_words(kind: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(file(kind))
    for place, value in damage:
        data[int(place * len(data))] = value
    try:
        decode(bytes(data))
    except ImageError as error:
        plain(str(error))


def patched(name: str, at: bytes, offset: int, new: bytes) -> bytes:
    """A file with other bytes at a place."""
    data = bytearray(file(name))
    place = data.index(at) + offset
    data[place : place + len(new)] = new
    return bytes(data)


FLOATS = np.full((20, 20, 1), 1.0)
OTHERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "the file is empty"),
    "text": (lambda: b"patient;label", r"not a readable image \(not JPEG, PNG, .* or DICOM inside\)"),
    "web page": (lambda: b"<html>404</html>", "DICOM inside"),
    "12-bit JPEG": (lambda: patched("JPEG", b"\xff\xc0", 4, b"\x0c"), "a JPEG of 12 bits per sample, which"),
    "lossless JPEG": (lambda: patched("JPEG", b"\xff\xc0", 1, b"\xc3"), "a lossless JPEG, which is read in DICOM"),
    "JPEG-LS": (lambda: patched("JPEG", b"\xff\xc0", 1, b"\xf7"), "a JPEG-LS, which is read in DICOM"),
    "bomb": (lambda: patched("BMP", b"BM", 18, b"\xff\xff\0\0\xff\xff"), "more than 100,000,000 pixels"),
    "strip": (lambda: write(sample("u2", 3, 2, 200), 2), "200 x 2 is longer than 50 times its width"),
    "no width": (lambda: write(sample("u2", 3), 2, more={256: [0]}), "has no pixels"),
    "not finite": (lambda: write(FLOATS * [np.nan]), "holds values that are not finite"),
    "too far apart": (lambda: write(FLOATS * np.array([-1.7e308, 1.7e308] * 10)[:, None]), "too far apart"),
    "too many bytes": (
        lambda: write(sample("f8", 16, 9, 9), more={256: [9_000], 257: [9_000]}), "more than 800,000,000 bytes"
    ),
    "packed bits with a predictor": (
        lambda: write(sample("u2"), predictor=2, more={258: [12]}), "packed bits with a predictor"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "words"), OTHERS.values(), ids=OTHERS)
def test_other_reasons(data: Callable[[], bytes], words: str) -> None:
    assert re.search(words, refused(data()))


@pytest.mark.parametrize(("suffix", "start"), MAGICS.items(), ids=MAGICS)
def test_kinds_that_are_not_read_are_known_by_their_contents(suffix: str, start: bytes) -> None:
    """A phone's HEIC often bears the suffix of a JPEG."""
    assert refused(start + bytes(2000)) == f"not a readable image ({UNREAD[suffix]})"


@pytest.mark.parametrize("suffix", UNREAD)
def test_kinds_that_are_not_read_say_what_to_do(suffix: str) -> None:
    reason = UNREAD[suffix]
    assert re.search(r" (are|is) not read: ", reason)
    assert len(reason) <= 120
    assert why_unread(f"folder.x/an image{suffix.upper()}") == reason


@pytest.mark.parametrize("name", ["a.jpg", "a.nii.txt", "nii", "labels.csv.gz", "a.tar.gz", ".gz", "raw", "heic"])
def test_all_other_names_give_no_reason(name: str) -> None:
    assert why_unread(name) == ""


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "WEBP"])
def test_what_an_old_pillow_lacks_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = file(kind)[:200]
    monkeypatch.setattr(features, "get_supported", list)
    assert "files need a newer Pillow: pip install --upgrade pillow" in refused(data)


def test_sizes_and_values() -> None:
    for width, height in ((0, 5), (20_000, 20_000), (51, 1)):
        with pytest.raises(ImageError) as caught:
            check_size(width, height)
        plain(str(caught.value))
    with pytest.raises(ImageError) as caught:
        stretch(np.array([np.inf, 0]))
    plain(str(caught.value))


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "pydicom":
            raise ImportError("No module named 'pydicom'")
        return real(name, *rest, **more)

    data = b"\0" * 128 + b"DICM"
    for name in [name for name in sys.modules if name.split(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", fail)
    assert refused(data) == "DICOM files need more than is installed: pip install -e '.[dicom]'"


class TestDicom:
    """Reasons that need pydicom to be made."""

    @pytest.fixture(autouse=True)
    def _needs_pydicom(self) -> None:
        pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")

    @pytest.mark.parametrize(("kind", "name"), KINDS.items(), ids=KINDS.values())
    def test_what_holds_no_image_is_named(self, kind: str, name: str) -> None:
        gone = dict.fromkeys(("PixelData", "Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"))
        dataset = dataset_of(**gone, SOPClassUID=kind)
        assert refused(whole(dataset)) == f"has no image (it is {name})"
        assert refused(bare(dataset, implicit=False)) == f"has no image (it is {name})"

    def test_a_table_of_contents_is_named(self) -> None:
        dataset = dataset_of(PixelData=None, SOPClassUID="1.2.840.10008.1.3.10")
        assert refused(whole(dataset)) == "has no image (it is a DICOMDIR, the table of contents of a disc)"

    @pytest.mark.parametrize("kind", ["1.2.3.4", None, "1.2.840.113619.4.30"])
    def test_private_kinds_are_not_named(self, kind: str | None) -> None:
        assert refused(whole(dataset_of(PixelData=None, SOPClassUID=kind))) == (
            "has no image (a DICOM file that does not say what it is)"
        )

    @pytest.mark.parametrize(
        ("tags", "words"),
        [
            ({"PixelData": None}, "a Digital X-Ray Image without pixels: it may have been cut short"),
            ({"PixelData": b""}, "without pixels"),
            ({"PixelData": b"12"}, "it holds fewer pixels than its size says: it was cut short, copy it again"),
            ({"Rows": None}, "it does not say how many rows and columns it has"),
            ({"Columns": None}, "it does not say how many rows and columns it has"),
            ({"Rows": 0}, "48 x 0 has no pixels"),
            ({"Rows": 60_000, "Columns": 60_000}, "60000 x 60000 is more than 100,000,000 pixels"),
            ({"BitsAllocated": 12}, "it packs pixels of 12 bits, which is not read: convert it with gdcmconv"),
            ({"SamplesPerPixel": 2}, "fewer pixels"),
            ({"SamplesPerPixel": 4, "PixelData": bytes(64 * 48 * 8)}, "the description of its pixels is damaged"),
            ({"PhotometricInterpretation": "COLOURFUL"}, "the description of its pixels is damaged or of a rare kind"),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, "its colours lie in a table, and the table is missing"),
            ({"PixelRepresentation": 7}, "the description of its pixels is damaged or of a rare kind"),
            ({"BitsAllocated": 72}, "fewer pixels"),
        ],
        ids=str,
    )
    def test_pixels_that_cannot_be_shown(self, tags: dict[str, Any], words: str) -> None:
        reason = refused(make(RAMP, **tags))
        assert words in reason
        assert "DICOM" in reason or " x " in reason

    @pytest.mark.parametrize("rest", [b"", b"\0", bytes(range(256)), b"\2\0\0\0UL\1\0\0", b"\2\0\0\0XX\4\0\0\0\0\0"])
    def test_damaged_headers(self, rest: bytes) -> None:
        assert "DICOM" in refused(bytes(128) + b"DICM" + rest)

    @settings(deadline=None, max_examples=300)
    @given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=6), st.integers(100, 7000))
    def test_whatever_is_damaged_the_words_stay_plain(self, damage: list[tuple[int, int]], length: int) -> None:
        data = bytearray(
            make(RAMP, WindowCenter="40", WindowWidth="400", RescaleSlope="2", PixelPaddingValue=0)[:length]
        )
        for place, value in damage:
            data[place % len(data)] = value
        try:
            decode(bytes(data))
        except ImageError as error:
            plain(str(error).replace("SMITH", "\n"))  # a reason names no patient


@pytest.mark.parametrize("name", sorted(path.name for path in Path(decode.__code__.co_filename).parent.glob("*.py")))
def test_no_reason_is_made_of_what_a_library_said(name: str) -> None:
    """An ImageError has no text of another exception, and no name of its class."""
    tree = ast.parse((Path(decode.__code__.co_filename).parent / name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ImageError":
            used = {part.id for argument in node.args for part in ast.walk(argument) if isinstance(part, ast.Name)}
            calls = ast.unparse(node)
            assert not {"err", "exc", "exception", "type", "str", "repr"} & used, calls
            assert "error" not in used or "why_unreadable(data, error)" in calls, calls
