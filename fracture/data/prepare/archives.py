"""Zip and tar archives, unpacked so that nothing leaves its folder and nothing explodes.

Only images and files that may hold labels are unpacked. Sizes are counted while bytes are written; what headers promise
is not believed.
"""

import json
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from fracture.data.contents import Progress, sha256_of
from fracture.data.exclusions import Exclusion
from fracture.data.formats import SUFFIXES, why_unread
from fracture.data.trees import LABEL_FILES
from fracture.errors import DataError
from fracture.failures import is_machine

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_RATIO = 100  # unpacked bytes per packed byte; radiographs seldom pass 10, a bomb 1,000
FREE_BYTES = 2**20  # what a small archive may unpack to, whatever its ratio
MAX_MEMBERS = 2_000_000
_BROKEN = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError,
    zlib.error, LZMAError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
_LEFT_OUT = ".left-out.json"  # written last: a folder that holds it is whole
_VERSION = "v2"  # of what is unpacked; a folder that an older version has unpacked stays for its manifests


@dataclass(frozen=True)
class _Member:
    name: str
    open: Callable[[], IO[bytes] | None]
    problem: str = ""  # why it is no plain file


@dataclass(frozen=True)
class Unpacked:
    """What an archive held.

    Attributes:
        folder: where its images lie now.
        excluded: the members that were left out, with the reason.
        others: number of members that are neither images nor labels, by suffix.
    """

    folder: Path
    excluded: list[Exclusion]
    others: Counter[str]


def is_archive(path: Path) -> bool:
    """Whether the name ends as an archive's does."""
    return path.name.lower().endswith(ENDINGS)


def extract(path: Path, into: Path, report: Progress | None = None) -> Unpacked:
    """Unpack images and label files of an archive into a folder below ``into`` that carries the archive's digest.

    An archive that was unpacked there before is not unpacked again.

    Raises:
        DataError: broken or encrypted, a member leads outside the folder, or it unpacks to more than `MAX_RATIO` times
            its size. Nothing of it is kept then.
    """
    try:
        packed = path.stat().st_size
        digest = sha256_of(path)[:12]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    folder = into / f"{_stem(path)}-{digest}-{_VERSION}"
    if (folder / _LEFT_OUT).is_file():
        held = json.loads((folder / _LEFT_OUT).read_text(encoding="utf-8"))
        return Unpacked(folder, [Exclusion(*pair) for pair in held["excluded"]], Counter(held["others"]))
    unpacked = Unpacked(folder, [], Counter())
    into.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=into))
    try:
        _unpack(path, work, max(FREE_BYTES, MAX_RATIO * packed), unpacked, report)
        pairs = [(one.path, one.reason) for one in unpacked.excluded]
        (work / _LEFT_OUT).write_text(json.dumps({"excluded": pairs, "others": unpacked.others}), encoding="utf-8")
        work.chmod(0o755)
        work.rename(folder)
    except _BROKEN as error:
        if is_machine(error):
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(folder)  # of a full disk the system does not say which
            raise
        raise DataError(f"{path}: cannot be unpacked: {_why(error)}", "Pack it again.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return unpacked


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or "it is damaged"


def _unpack(path: Path, folder: Path, budget: int, unpacked: Unpacked, report: Progress | None) -> None:
    """Check every member and write those that are wanted."""
    left = budget
    for count, member in enumerate(_members(path), start=1):
        if count > MAX_MEMBERS:
            raise DataError(f"{path}: more than {MAX_MEMBERS:,} members")
        place = _safe(member.name, path)
        suffix = place.suffix.lower()
        reason = member.problem or why_unread(place.name)
        reason = reason or ("an archive in an archive is not unpacked" if is_archive(Path(place.name)) else "")
        if place.name.startswith(".") or "__MACOSX" in place.parts:
            continue
        if reason:
            unpacked.excluded.append(Exclusion(f"{path}!{member.name}", reason))
        elif suffix in SUFFIXES or suffix in LABEL_FILES or not suffix or suffix[1:].isdigit():
            left -= _write(member, folder / place, left, path, unpacked.excluded)
        else:
            unpacked.others[suffix] += 1
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
        if is_machine(error):
            raise
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
                if not info.filename.endswith("/"):  # its is_dir() fails at an empty name in Python 3.11
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
