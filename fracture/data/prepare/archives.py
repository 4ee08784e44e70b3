"""Zip and tar archives, unpacked so that nothing leaves its folder and nothing explodes.

Only images and CSV files are unpacked. Sizes are counted while bytes are written; what headers promise is not believed.
"""

import hashlib
import json
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from fracture.data.images import SUFFIXES
from fracture.data.prepare.records import Exclusion
from fracture.errors import DataError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_RATIO = 100  # unpacked bytes per packed byte; radiographs seldom pass 10, a bomb 1,000
FREE_BYTES = 2**20  # what a small archive may unpack to, whatever its ratio
MAX_MEMBERS = 2_000_000
_BROKEN = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError,
    zlib.error, LZMAError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
_LEFT_OUT = ".left-out.json"  # written last: a folder that holds it is whole
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Member:
    name: str
    open: Callable[[], IO[bytes] | None]
    problem: str = ""  # why it is no plain file


def is_archive(path: Path) -> bool:
    """Whether the name ends as an archive's does."""
    return path.name.lower().endswith(ENDINGS)


def extract(path: Path, into: Path, report: Report | None = None) -> tuple[Path, list[Exclusion]]:
    """Unpack the images and CSV files of an archive into a folder below ``into`` that carries the archive's digest.

    An archive that was unpacked there before is not unpacked again.

    Returns:
        The folder, and the members that were left out, with the reason.

    Raises:
        DataError: broken or encrypted, a member leads outside the folder, or it unpacks to more than `MAX_RATIO` times
            its size. Nothing of it is kept then.
    """
    try:
        packed = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    folder = into / f"{_stem(path)}-{digest}"
    if (folder / _LEFT_OUT).is_file():
        return folder, [Exclusion(*pair) for pair in json.loads((folder / _LEFT_OUT).read_text(encoding="utf-8"))]
    excluded: list[Exclusion] = []
    into.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=into))
    try:
        _unpack(path, work, max(FREE_BYTES, MAX_RATIO * packed), excluded, report)
        pairs = [(one.path, one.reason) for one in excluded]
        (work / _LEFT_OUT).write_text(json.dumps(pairs), encoding="utf-8")
        work.chmod(0o755)
        work.rename(folder)
    except _BROKEN as error:
        why = str(error) or type(error).__name__
        raise DataError(f"{path}: cannot be unpacked: {why}", "Pack it again.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder, excluded


def _unpack(path: Path, folder: Path, budget: int, excluded: list[Exclusion], report: Report | None) -> None:
    """Check every member and write those that are wanted."""
    left = budget
    for count, member in enumerate(_members(path), start=1):
        if count > MAX_MEMBERS:
            raise DataError(f"{path}: more than {MAX_MEMBERS:,} members")
        place = _safe(member.name, path)
        wanted = place.suffix.lower() in SUFFIXES or place.suffix.lower() == ".csv" or not place.suffix
        reason = member.problem or ("an archive in an archive is not unpacked" if is_archive(Path(place.name)) else "")
        if reason:
            excluded.append(Exclusion(f"{path}!{member.name}", reason))
        elif wanted and not place.name.startswith("."):
            left -= _write(member, folder / place, left, path, excluded)
        if report:
            report("unpacking", count, 0)


def _write(member: _Member, place: Path, left: int, archive: Path, excluded: list[Exclusion]) -> int:
    """Write one member; returns its bytes."""
    source = member.open()
    if source is None:
        return 0
    written = 0
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        target = place.open("xb")
    except (OSError, ValueError) as error:  # a name that is too long, or there already, or holds a zero byte
        problem = error.strerror if isinstance(error, OSError) else str(error)
        excluded.append(Exclusion(f"{archive}!{member.name[:300]}", f"cannot be unpacked: {problem}"))
        return 0
    with source, target:
        while block := source.read(1 << 20):
            written += len(block)
            if written > left:
                raise DataError(
                    f"{archive}: unpacks to more than {MAX_RATIO} times its size, stopped at {member.name!r}",
                    "Such an archive is a bomb or a mistake; unpack it yourself if you trust it, and give the folder.",
                )
            target.write(block)
    return written


def _members(path: Path) -> Iterator[_Member]:
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    link = stat.S_ISLNK(info.external_attr >> 16)
                    problem = "a link, not a file" if link else "encrypted" if info.flag_bits & 1 else ""
                    yield _Member(info.filename, lambda info=info: archive.open(info), problem)  # type: ignore[misc]
        return
    with tarfile.open(path) as tar:
        for entry in tar:
            if not entry.isdir():
                problem = "" if entry.isreg() else "a link or a device, not a file"
                yield _Member(entry.name, lambda entry=entry: tar.extractfile(entry), problem)  # type: ignore[misc]


def _safe(name: str, archive: Path) -> PurePosixPath:
    """The member's path, once it is sure to stay in its folder."""
    place = PurePosixPath(name.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or (place.parts and ":" in place.parts[0]):
        raise DataError(
            f"{archive}: member {name!r} leads outside the folder, so nothing of the archive was used",
            "Ask whoever made it for one with plain relative names.",
        )
    return place


def _stem(path: Path) -> str:
    ending = max((e for e in ENDINGS if path.name.lower().endswith(e)), key=len, default="")
    return path.name[: len(path.name) - len(ending)][:80] or "archive"
