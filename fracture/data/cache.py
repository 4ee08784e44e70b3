"""The cache: every image of a data set decoded once to a grey uint8 square, memory-mapped from disk.

An entry is a folder named by the digest of what it holds: the contents of the files, the size and the version of the
preprocessing. It is built under a temporary name and renamed; a lock keeps two processes from building the same one.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs
from filelock import FileLock

from fracture.data.contents import Progress, in_threads, sha256_of
from fracture.data.groups import grouped
from fracture.data.images import PREPROCESSING_VERSION, ImageError, decode, letterbox
from fracture.failures import is_machine, require_space
from fracture.files import expanded, write_json

_OWN = ("images", "demo", "near", "archives", "signatures*", "inspections*", "timings.json", "memory")
_ATTEMPTS = 3  # at what another process may delete meanwhile
_ARRAY, _INDEX = "images.npy", "index.json"


@dataclass(frozen=True)
class Cached:
    """The decoded images.

    Attributes:
        pixels: uint8 [unique images, size, size], memory-mapped read-only.
        position: the place in ``pixels`` of each file wanted.
        sha256: of each file wanted.
        folder: where the entry lies.
        built: whether it was built just now.
    """

    pixels: npt.NDArray[np.uint8]
    position: npt.NDArray[np.int64]
    sha256: tuple[str, ...]
    folder: Path
    built: bool

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Another process maps the same file: the pixels are not copied to it."""
        return _mapped, (self.position, self.sha256, self.folder, self.built)

    def reordered(self, order: Sequence[int]) -> "Cached":
        """The same images for the files wanted in another order."""
        return replace(self, position=self.position[list(order)], sha256=tuple(self.sha256[i] for i in order))


class UnreadableImagesError(Exception):
    """Some files cannot be decoded; ``reasons`` says why, by path."""

    def __init__(self, reasons: dict[Path, str]) -> None:
        super().__init__(f"{len(reasons)} unreadable images")
        self.reasons = reasons


def default_folder() -> Path:
    """The user's cache folder, e.g. ``~/.cache/fracture``; the variable FRACTURE_CACHE_DIR moves it."""
    return Path(os.environ.get("FRACTURE_CACHE_DIR") or platformdirs.user_cache_dir("fracture", appauthor=False))


def folder_of(cache_dir: str) -> Path:
    """The folder that a setting ``cache_dir`` means."""
    return default_folder() if cache_dir == "auto" else expanded(cache_dir)


def open_cache(paths: Sequence[Path], size: int, folder: Path, progress: Progress | None = None) -> Cached:
    """The decoded images of ``paths``, built first where they are missing or damaged.

    Raises:
        UnreadableImagesError: some files cannot be decoded; nothing is kept of them.
    """
    report = progress or (lambda *_: None)
    sha256, missing = _hash_files(paths, report)
    if missing:
        raise UnreadableImagesError(missing | _undecodable([path for path in paths if path not in missing], report))
    files = dict(sorted(grouped(zip(sha256, paths, strict=True)).items()))  # in the order of the array
    unique = list(files)
    entry = folder / "images" / _key(unique, size)
    place = {digest: i for i, digest in enumerate(unique)}
    position = np.array([place[digest] for digest in sha256], np.int64)
    for left in reversed(range(_ATTEMPTS)):
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{entry}.lock"):
                built = not _is_whole(entry, len(unique), size)
                if built:
                    _build(entry, files, size, report)
                return _mapped(position, tuple(sha256), entry, built)
        except FileNotFoundError:  # somebody clears the cache at this moment
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _mapped(position: npt.NDArray[np.int64], sha256: tuple[str, ...], entry: Path, built: bool) -> Cached:
    return Cached(np.load(entry / _ARRAY, mmap_mode="r"), position, sha256, entry, built)


def usage(folder: Path) -> tuple[int, int]:
    """Number of files and bytes below the cache folder."""
    sizes = [size for path in folder.rglob("*") if (size := _size(path)) is not None] if folder.is_dir() else []
    return len(sizes), sum(sizes)


def _size(path: Path) -> int | None:
    """Of a file in bytes; None of anything else, and of what was deleted just now."""
    try:
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        return None


def clear(folder: Path) -> int:
    """Delete what the project keeps there and builds again when needed; returns the bytes freed.

    The key of DICOM patients stays: with another, a patient of old manifests and of new ones would be two.
    """
    before = usage(folder)[1]
    for name in _OWN:
        for entry in folder.glob(name):
            _delete(entry)
    with suppress(OSError):  # it is not empty, or gone
        folder.rmdir()
    return max(0, before - usage(folder)[1])


def _delete(entry: Path) -> None:
    """Delete a file or a folder, which others may write to or delete at the same moment."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
        except OSError as error:
            if not left or error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        else:
            return


def _hash_files(paths: Sequence[Path], report: Progress) -> tuple[list[str], dict[Path, str]]:
    """The digest of each file, and why some cannot be opened."""
    missing: dict[Path, str] = {}

    def digest(path: Path) -> str:
        try:
            return sha256_of(path)
        except OSError as error:
            if is_machine(error):
                raise
            missing[path] = error.strerror or str(error)
            return ""

    return in_threads(digest, paths, os.cpu_count(), lambda done: report("reading", done, len(paths))), missing


def _undecodable(paths: Sequence[Path], report: Progress) -> dict[Path, str]:
    """Why some of the files cannot be decoded, so that every problem is told at once."""
    return _decode_into(np.zeros((len(paths), 1, 1), np.uint8), paths, 1, report)


def _key(unique: Sequence[str], size: int) -> str:
    text = "\n".join([f"preprocessing {PREPROCESSING_VERSION}, {size} px", *unique])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _is_whole(entry: Path, count: int, size: int) -> bool:
    """Whether the entry's array is the one that was written; a damaged entry counts as none."""
    try:
        index = json.loads((entry / _INDEX).read_text())
        same = sha256_of(entry / _ARRAY) == index["sha256"]
        return bool(same and index["shape"] == [count, size, size])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _build(entry: Path, files: dict[str, list[Path]], size: int, report: Progress) -> None:
    for old in entry.parent.glob(f"{entry.name}*"):  # damaged, or what a killed process left
        if old.is_dir():
            shutil.rmtree(old)
    require_space(entry.parent, len(files) * size**2, "decoded images")
    work = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".part", dir=entry.parent))
    try:
        array = np.lib.format.open_memmap(work / _ARRAY, mode="w+", dtype=np.uint8, shape=(len(files), size, size))
        _reserve(work / _ARRAY)
        reasons = _decode_into(array, [same[0] for same in files.values()], size, report)
        if reasons:
            bad = (same for same in files.values() if same[0] in reasons)
            raise UnreadableImagesError({path: reasons[same[0]] for same in bad for path in same})
        array.flush()
        del array
        _seal(work, [len(files), size, size])
        work.rename(entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _reserve(path: Path) -> None:
    """Take the space of a file that is still empty: a page that finds none later would end the process.

    Raises:
        OSError: the disk is full.
    """
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)  # not on Windows and macOS
    except AttributeError:
        return
    except OSError as error:
        if is_machine(error):  # else a file system that cannot
            raise OSError(error.errno, error.strerror, str(path)) from None


def _decode_into(array: npt.NDArray[np.uint8], paths: Sequence[Path], size: int, report: Progress) -> dict[Path, str]:
    reasons: dict[Path, str] = {}

    def one(task: tuple[int, Path]) -> None:
        index, path = task
        try:
            array[index] = letterbox(decode(path.read_bytes()), size)
        except (ImageError, OSError) as error:
            if is_machine(error):
                raise
            reasons[path] = str(error)

    # Pillow decodes and resizes outside the interpreter lock
    in_threads(one, enumerate(paths), os.cpu_count(), lambda done: report("decoding", done, len(paths)))
    return reasons


def _seal(work: Path, shape: list[int]) -> None:
    """Write the index last, and everything to the disk, so that a renamed entry is a whole one."""
    with (work / _ARRAY).open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_json(work / _INDEX, {"sha256": digest, "shape": shape})
