"""Annotation files as text: of bounded size, with the encodings that people save."""

import codecs
import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path

MIB = 1 << 20
_HEAD = 1 << 12
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_KNOWN = re.compile(  # some other codecs take hours for a large file
    r"utf-?8|us-ascii|latin-?1|iso-?8859-\d{1,2}|(?:windows|cp)-?\d{3,4}|gb(?:k|2312|18030)|big5|euc-(?:jp|kr)|shift_jis|koi8-[ru]"
)
_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,30})["']""")


class Unreadable(ValueError):  # noqa: N818 - the file is
    """A file that cannot be read as text; the message is the reason without the path.

    Attributes:
        head: its first bytes in lower case, without those that are zero, to tell what it may be; empty where nothing
            could be read.
    """

    def __init__(self, reason: str, head: bytes = b"") -> None:
        super().__init__(reason)
        self.head = head[:_HEAD].replace(b"\0", b"").lower()

    def may_be(self, *marks: bytes) -> bool:
        """Whether the file may be one that holds such a mark near its beginning; so may one that cannot be opened."""
        return not self.head or any(mark in self.head for mark in marks)


def read_text(path: Path, limit: int) -> str:
    """The text of a file.

    UTF-8, with or without a mark; UTF-16 and UTF-32 with one; XML in any encoding that it declares.

    Args:
        path: of the file.
        limit: bytes that it may have.

    Raises:
        Unreadable: no regular file, too large, no permission, or not text.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise Unreadable("is no regular file")
        with path.open("rb") as file:
            if state.st_size > limit:
                raise Unreadable(
                    f"is larger than {limit / MIB:g} MiB: {state.st_size / MIB:,.0f} MiB", file.read(_HEAD)
                )
            data = file.read(limit)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    return _decoded(data)


def _decoded(data: bytes) -> str:
    declared = _DECLARED.match(data)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    encoding = encoding or (declared[1].decode().lower() if declared else "utf-8")
    if declared and re.fullmatch(r"(?:utf|ucs)-?(?:16|32).*", encoding) and b"\0" not in data[:64]:
        encoding = "utf-8"  # what reads as ASCII so far cannot be UTF-16, whatever it declares
    if declared and not _KNOWN.fullmatch(encoding):
        raise Unreadable(f"declares an unknown encoding: {encoding}", data)
    try:
        return data.decode(encoding)
    except (ValueError, LookupError):
        raise Unreadable(f"is not {encoding.upper()} text", data) from None


def read_json(path: Path, limit: int, marks: Sequence[str]) -> object:
    """The content of a JSON file that holds all the marks, None of another one.

    Raises:
        Unreadable: as `read_text`, or the file has the marks and is broken.
    """
    text = read_text(path, limit)
    if not all(mark in text for mark in marks):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"is broken JSON: {error}", "".join(marks).encode()) from None
