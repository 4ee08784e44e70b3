"""Files that matter are written whole or not at all."""

import errno
import functools
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template

_PAGES = Path(__file__).with_name("pages")  # layout and parts of all pages
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; its file is flushed and renamed to ``path`` when the block ends well.

    Raises:
        OSError: among others that the disk is full, with the path, which Python and torch do not name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with located(path):
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Name ``path`` where it cannot be written, which Python, torch and SQLite do not do.

    Raises:
        OSError: as in the block, with the path; that the disk is full, where torch or SQLite say so in their way.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    except (RuntimeError, sqlite3.OperationalError) as error:
        if not any(sign in str(error) for sign in ("inline_container", "iostream", "database or disk is full")):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None


def is_deleted(error: sqlite3.Error) -> bool:
    """Whether a SQLite file was deleted while it was open, as by `fracture cache --clear`: nothing is wrong with it."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_DBMOVED


def expanded(path: Path | str) -> Path:
    """A path with the home folder in place of ``~``; where nobody knows that folder, as of ``~name``, as it was."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib raises a RuntimeError there


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read, whole or not at all; NaN and infinity are refused."""
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def is_text(name: str) -> bool:
    """Whether a name is valid UTF-8 on one line, as everything that is written down must be."""
    return as_text(name) == name


def as_text(name: str) -> str:
    """A name as it can be printed: an escape for each byte that is not UTF-8 and each character that is not shown.

    Such are line breaks, the terminal's escape character, and marks that turn the direction of what follows.
    """
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, as JSON may hold
        raw = name.encode("utf-8", "backslashreplace")
    shown = raw.decode("utf-8", "backslashreplace")
    return _NOT_SHOWN.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)


def as_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe comes before what would begin one (OWASP)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def as_lines(text: str) -> str:
    """A text of several lines as it can be printed; see `as_text`."""
    return "\n".join(as_text(line.replace("\t", "    ")) for line in text.split("\n"))


@functools.cache  # to compile one takes a quarter of a second, and a group of runs writes many reports
def page_template(path: Path, **filters: Callable[..., Any]) -> "Template":
    """A page's template: names of files, classes and stations are never trusted as HTML, and nothing may be missing.

    It may extend and import those of ``fracture/pages/``.
    """
    import jinja2  # whoever makes no page needs none

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, _PAGES]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= filters
    return environment.get_template(path.name)
