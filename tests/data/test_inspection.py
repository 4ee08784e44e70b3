"""Every kind of file that people have: decoded, or named with its reason; none crashes, none is replaced."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.data.audit import traits
from fracture.data.inspection import inspect as inspection
from fracture.data.inspection import pool
from fracture.data.inspection.inspect import inspect, open_file, patient_key, phash

KEY = bytes(32)
GREY = (np.arange(48 * 40).reshape(48, 40) % 251).astype(np.uint8)


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _png(mode: str) -> bytes:
    return _bytes(Image.fromarray(GREY).convert(mode), "PNG")


def _animated() -> bytes:
    frames = [Image.fromarray(np.roll(GREY, i, 0)) for i in range(3)]
    return _bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _bytes(Image.fromarray(GREY), "JPEG", exif=exif)


def _bomb() -> bytes:
    """A PNG of a few bytes that claims 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


GOOD: dict[str, tuple[Callable[[], bytes], tuple[int, int]]] = {
    "grey.png": (lambda: _png("L"), (40, 48)),
    "sixteen_bit.png": (lambda: _bytes(Image.fromarray(GREY.astype(np.uint16) * 200), "PNG"), (40, 48)),
    "float.tif": (lambda: _bytes(Image.fromarray(GREY.astype(np.float32)), "TIFF"), (40, 48)),
    "palette.png": (lambda: _png("P"), (40, 48)),
    "rgba.png": (lambda: _png("RGBA"), (40, 48)),
    "bilevel.png": (lambda: _png("1"), (40, 48)),
    "cmyk.jpg": (lambda: _bytes(Image.fromarray(GREY).convert("CMYK"), "JPEG"), (40, 48)),
    "animated.gif": (_animated, (40, 48)),
    "turned.jpg": (_turned, (48, 40)),
    "webp.webp": (lambda: _bytes(Image.fromarray(GREY), "WEBP"), (40, 48)),
    "odd suffix.png": (lambda: _bytes(Image.fromarray(GREY), "JPEG"), (40, 48)),
}
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "the file is empty"),
    "text.png": (lambda: b"this is no image", "not a readable image"),
    "truncated.jpg": (lambda: _bytes(Image.fromarray(GREY), "JPEG")[:300], "not a readable image"),
    "truncated.png": (lambda: _png("L")[:120], "not a readable image"),
    "bomb.png": (_bomb, "more than 100,000,000 pixels"),
    "hair.png": (lambda: _bytes(Image.new("L", (3000, 2)), "PNG"), "longer than 50 times its width"),
    "random.png": (lambda: b"\x89PNG\r\n\x1a\n" + os.urandom(200), "not a readable image"),
    "html.jpg": (lambda: b"<html>404</html>", "not a readable image"),
}


@pytest.mark.parametrize("name", GOOD)
def test_images_of_every_kind_are_decoded(tmp_path: Path, name: str) -> None:
    make, size = GOOD[name]
    (tmp_path / name).write_bytes(make())
    found, _ = open_file(tmp_path / name, KEY, sign=False)
    assert found.error == ""
    assert (found.width, found.height) == size
    assert len(found.traits) == len(traits.NAMES)
    assert len(found.phash) == 16


def test_each_trait_has_words_of_its_own() -> None:
    assert len({traits.words(name) for name in traits.NAMES}) == len(traits.NAMES)
    assert traits.figure("log2_pixels", 20.0) == "1,048,576", "pixels, not their logarithm"
    assert traits.figure("spread", 12.345) == "12.3"


@pytest.mark.parametrize("name", BAD)
def test_broken_files_are_told_in_words(tmp_path: Path, name: str) -> None:
    make, reason = BAD[name]
    (tmp_path / name).write_bytes(make())
    found, _ = open_file(tmp_path / name, KEY, sign=False)
    assert reason in found.error
    assert not found.traits


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_missing_pipes_folders_and_giants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "large.png").write_bytes(bytes(2000))
    monkeypatch.setattr(inspection, "MAX_BYTES", 1000)
    names = ("gone.png", "pipe.png", "folder.png", "large.png")
    errors = [found.error for found in inspect([tmp_path / n for n in names], tmp_path / "cache", 1)]
    assert errors[:3] == ["No such file or directory", "not a regular file", "not a regular file"]
    assert errors[3].startswith("larger than")


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png", "again.png")]
    for path, mode in zip(paths, ("L", "RGBA", "L"), strict=True):
        path.write_bytes(_png(mode))
    first = inspect(paths, tmp_path / "cache", 1)
    monkeypatch.setattr(inspection, "decode", None)
    assert inspect(paths[::-1], tmp_path / "cache", 1) == first[::-1]
    assert first[0] == first[2]


def test_a_damaged_store_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png("L"))
    (tmp_path / "inspections.sqlite").write_bytes(b"not a database" * 100)
    assert inspect([tmp_path / "a.png"], tmp_path, 1)[0].error == ""


def _crash_on_bad(path: Path) -> str:
    if path.name.startswith("bad"):
        os._exit(11)
    return path.name


@pytest.mark.slow
def test_a_decoder_that_crashes_takes_one_image_with_it(
    forked: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "FEW", 0)
    monkeypatch.setattr(pool, "_CHUNK", 4)
    monkeypatch.setattr(pool, "get_context", lambda _: get_context("forkserver"))  # each process in 0.1 s, not in 3 s
    paths = [tmp_path / f"{'bad' if i == 6 else 'ok'}{i}" for i in range(12)]
    found = list(pool.each(_crash_on_bad, paths, 2, lambda path: f"{path.name} crashed"))
    assert found == [f"{path.name} crashed" if path.name == "bad6" else path.name for path in paths]


def test_the_key_of_patients_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = patient_key(tmp_path)
    assert patient_key(tmp_path) == key
    assert len(key) == 32
    assert (tmp_path / "patient.key").stat().st_mode & 0o077 == 0


def test_phash_survives_resizing_and_tells_images_apart() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
    other = np.asarray(image)[::-1]
    bits = [int(phash(np.asarray(i)), 16) for i in (image, image.resize((128, 128)), Image.fromarray(other))]
    assert (bits[0] ^ bits[1]).bit_count() <= 4
    assert (bits[0] ^ bits[2]).bit_count() > 10
