"""Failures of the machine and the store, each explained in one sentence: disk, permission, open files, server."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fracture.errors import ConfigError, FractureError, Interrupted
from fracture.privacy import without_secrets

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the disk, a quota, what a process may write
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
_FILES = {errno.EMFILE, errno.ENFILE}
_NO_PLACE = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}  # a path of the user's
_NO_FOLDER = "No usable temporary directory"
_STORE_MODULES = ("mlflow", "requests", "urllib3", "sqlalchemy")  # whose errors are the store's; none is imported here
_AWAY = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "UNAUTHENTICATED", "PERMISSION_DENIED"}
_MIB = 2**20
_FREE = "Free some (`fracture cache --clear`) or name a larger disk, then go on."


def explained(error: BaseException) -> FractureError | None:
    """What a person can do about a failure that is not the project's own; None where it may be.

    Returns:
        `Interrupted` where the same command goes on once there is space or the store answers, else a `ConfigError`.
    """
    for one in _chain(error):
        if isinstance(one, FractureError):
            return None  # said already
        if isinstance(one, OSError) and one.errno in FULL:
            return Interrupted(_no_space(one))
        if why := _no_place(one):
            return ConfigError(why)
        if isinstance(one, OSError) and one.errno in _FILES:
            return ConfigError(f"{one.filename or 'this process'}: {_said(one)}; `ulimit -n 4096` allows more.")
        if isinstance(one, OSError) and _NO_FOLDER in str(one):
            return Interrupted(f"{one.strerror}: they are full or not writable; set TMPDIR to another folder.")
        if "database or disk is full" in str(one):
            return Interrupted(f"a database (SQLite) has no space left: {_free(Path())}. {_FREE}")
    if any(_is_away(one) for one in _chain(error)):
        return Interrupted(f"the tracking store fails: {sentence(error)}. Once it works, go on with the same command.")
    return None


def _no_place(error: BaseException) -> str:
    """Why nothing can be written where the user has named a place, empty where that is not it."""
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # as pathlib says it
        return f"{error}. Name another place."
    if not isinstance(error, OSError) or not error.filename:
        return ""
    if error.errno in _FORBIDDEN:
        return f"{error.filename}: {_said(error)}. Allow writing there, or name another place."
    said = "exists and is not a folder" if error.errno == errno.EEXIST else f"cannot be used: {_said(error)}"
    return f"{error.filename}: {said}. Name another place." if error.errno in _NO_PLACE else ""


def is_machine(error: BaseException) -> bool:
    """Whether a file could not be read or written for want of space or open files: the file itself is not to blame."""
    return isinstance(error, OSError) and error.errno in FULL | _FILES


def is_store(error: BaseException) -> bool:
    """Whether an error may pass by itself: a store that is away, is full, or refuses; not one of our own."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _STORE_MODULES


def _is_away(error: BaseException) -> bool:
    """Whether a store does not answer, or not to us; what it refuses for good reason is no matter of patience."""
    of_store = type(error).__module__.split(".")[0] in _STORE_MODULES
    return of_store and getattr(error, "error_code", "INTERNAL_ERROR") in _AWAY


def is_silent(error: BaseException) -> bool:
    """Whether a store does not answer at all; one that answers that we may not is no matter of waiting."""
    refused = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
    return _is_away(error) and getattr(error, "error_code", "") not in refused


def sentence(error: BaseException) -> str:
    """The innermost reason in one line."""
    reasons = [str(one).strip().splitlines()[0] for one in _chain(error) if str(one).strip(" \n()")]
    said = reasons[-1] if reasons else type(error).__name__
    return without_secrets(said[:300])


def unreadable(error: Exception) -> str:
    """Why a file cannot be read, in plain words: what the system says without its number and the path."""
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)


def require_space(folder: Path, size: int, what: str) -> None:
    """See that a file system has room, before anything is written to it.

    Args:
        folder: where it is to be written; need not be there yet.
        size: in bytes.
        what: it is, for the message.

    Raises:
        Interrupted: it has not.
    """
    free = shutil.disk_usage(_existing(folder)).free
    if free < size:
        raise Interrupted(
            f"{folder}: {what} need {size / _MIB:,.0f} MiB and {free / _MIB:,.0f} MiB are free: "
            f"{(size - free) / _MIB:,.0f} MiB are missing. {_FREE}"
        )


def check_output(*files: Path, folder: Path | None = None) -> None:
    """See that what ``--out`` names can be written, before the work that it is to hold; nothing is left behind.

    Args:
        files: that are to be written, or written anew; the first is the one that was named.
        folder: that files are to be written into; made later if missing.

    Raises:
        ConfigError: a file is a folder or the other way round, or nothing can be written there.
        Interrupted: the disk is full.
    """
    named = folder or files[0]
    for path in (folder,) if folder else files:
        try:
            why = _misplaced(path, is_folder=path is folder)
        except OSError as error:
            if error.errno in FULL:
                raise
            why = f"nothing can be written there: {_said(error)}"
        if why:
            which = "" if path == named else f" ({path.name} is written beside it)"
            raise ConfigError(f"--out {named}: {why}{which}. Name another place.")


def _misplaced(path: Path, *, is_folder: bool) -> str:
    """Why a file or folder cannot be where it is wanted, empty where it can.

    Raises:
        OSError: nothing can be written there, or it cannot be called so.
    """
    (path.parent / f".{path.name}.{os.getpid()}.part").exists()  # as it is called at first; an error where too long
    if path.is_dir() and not is_folder:
        return "is a folder, and a file must be written"
    if path.exists() and not (is_folder or path.is_file()):
        return "is a device, which a file would replace"
    if path.exists() and is_folder and not path.is_dir():
        return "exists and is not a folder"
    start = path.absolute() if is_folder else path.absolute().parent
    place = next(one for one in (start, *start.parents) if one.exists())
    if not place.is_dir():
        return f"{place} is no folder"
    with tempfile.TemporaryFile(dir=place):
        return ""


def _no_space(error: OSError) -> str:
    path = Path(os.fsdecode(error.filename)) if error.filename else _fullest()
    if error.errno == errno.EFBIG:
        return f"{path}: {_said(error)}: this process may not write a file as large as that (`ulimit -f`)."
    free = f": {_free(path)}" if error.errno == errno.ENOSPC else ""  # of a quota it says nothing
    return f"{path}: {_said(error)}{free}. {_FREE}"


def _fullest() -> Path:
    """Where it is likely that no space was left, if the system does not say."""
    return min((Path(tempfile.gettempdir()), Path.cwd()), key=lambda place: shutil.disk_usage(place).free)


def _free(path: Path) -> str:
    place = _existing(path.absolute())
    return f"{shutil.disk_usage(place).free / _MIB:,.1f} MiB are free at {place}"


def _existing(path: Path) -> Path:
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.is_dir())


def _said(error: OSError) -> str:
    return os.strerror(error.errno or 0)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came from, and so on inwards."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
