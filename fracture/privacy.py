"""What nobody else needs to read: passwords and tokens, the user's name and home folder.

`without_secrets` is for the user's own screen, `shareable` for what others see: MLflow, reports, cards, logs.
"""

import getpass
import hashlib
import io
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, unquote

HIDDEN = "***"
_ADDRESS = re.compile(r"(?<=://)[^\s/?#'\"<>]*@")  # user and password, up to the last @ before the path
_PASSWORD = re.compile(  # of a database, where SQLAlchemy takes / ? # and blanks too; a port is no password
    r"(?i)\b((?:postgres(?:ql)?|mysql|mariadb|mssql|oracle)(?:\+\w+)?://)[^\s:/@]*:(?!\d+(?:[/\s]|$)|\s)[^@\n]*@"
)
_QUERY = re.compile(r"(?i)([?&](?:password|passwd|sslpassword)=)[^\s&'\"<>]+")  # of an address, up to the next &
_SETTING = re.compile(  # password=..., ?token=..., "Authorization: Bearer ..."; what follows the name is the secret
    r"(?i)\b((?:password|passwd|sslpassword)(?:=|['\"]\s*:\s*['\"])|(?:secret|token|api_?key|access_?key|sig|x-amz-\w+)=)"
    r"[^\s&;,'\"<>]+"
)
_BEARER = re.compile(r"(?i)\b(authorization\W{1,6}(?:bearer|basic)\s+)[\w.~+/=-]+")
_SECRET_VARIABLE = re.compile(r"(?i)(?:password|passwd|passphrase|secret|token|credentials?|api_?key|access_?key)$")
_ADDRESS_VARIABLE = re.compile(r"(?i)_(?:uri|url|dsn|storage)$")
_SHORTEST = 6  # characters of a variable's value that counts as a secret wherever it stands; others would hide words
_TEXT = {".csv", ".diff", ".html", ".json", ".log", ".md", ".toml", ".txt", ".yaml", ".yml"}


def without_secrets(text: str) -> str:
    """A text without passwords and tokens: of addresses, of settings like ``password=``, of the environment."""
    for secret in _secrets(tuple(sorted(os.environ.items()))):
        text = text.replace(secret, HIDDEN)
    text = _ADDRESS.sub(f"{HIDDEN}@", _PASSWORD.sub(rf"\1{HIDDEN}@", text))
    text = _SETTING.sub(rf"\1{HIDDEN}", _QUERY.sub(rf"\1{HIDDEN}", text))
    return _BEARER.sub(rf"\1{HIDDEN}", text)


def shareable(text: str) -> str:
    """The same, and the user's home folder as ``~``, which the project's own commands read back."""
    text = without_secrets(text)
    for home in _homes():
        if home in text:  # quick, and rare
            text = re.sub(rf"(?<![\w.~-]){re.escape(home)}(?![\w.-])", "~", text)
    return text


def shareable_file(path: Path, folder: Path) -> Path:
    """``path``, or where its text is not `shareable` a copy in ``folder`` that is; a folder with all that is in it."""
    if path.is_dir():
        changed = {one: text for one in sorted(path.rglob("*")) if (text := _changed(one)) is not None}
        copy = folder / path.name
        if not changed:
            return path
        shutil.copytree(path, copy)
        for one, text in changed.items():
            (copy / one.relative_to(path)).write_text(text, encoding="utf-8")
        return copy
    text = _changed(path)
    if text is None:
        return path
    copy = folder / path.name
    copy.write_text(text, encoding="utf-8")
    return copy


def who() -> str:
    """How records call the person at work: FRACTURE_USER, else a word that is the same each time and names nobody."""
    try:
        login = getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no entry
        login = str(getattr(os, "getuid", lambda: "")())
    digest = hashlib.sha256(f"{login} {platform.node()}".encode()).hexdigest()
    return os.environ.get("FRACTURE_USER", "").strip() or f"user-{digest[:6]}"


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Whatever is printed, by any library, goes out without secrets, and no character of it ends the command."""
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:  # in the place of a stream that is closed
        sys.stdout, sys.stderr = _Guarded(before[0] or nowhere), _Guarded(before[1] or nowhere)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


class _Guarded:
    """A text stream that writes all but secrets, and is otherwise the stream that it wraps.

    For what its encoding lacks, as ASCII does under LANG=C, it writes a question mark or an escape.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if stream.encoding.lower().startswith("utf") else "replace")

    def write(self, text: str) -> int:
        self._stream.write(without_secrets(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _changed(path: Path) -> str | None:
    """What a text file should read; None where it may stay as it is."""
    if path.suffix.lower() not in _TEXT or not path.is_file():
        return None
    before = path.read_text(encoding="utf-8", errors="surrogateescape")
    after = shareable(before)
    return None if after == before else after.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@lru_cache(maxsize=4)
def _secrets(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Passwords and tokens that the environment holds, plain and as addresses spell them, the longest first."""
    found = set()
    for name, value in variables:
        if _SECRET_VARIABLE.search(name) and not value.lower().startswith(("http:", "https:", "/")):
            found.add(value)
        if _ADDRESS_VARIABLE.search(name) and (login := _ADDRESS.search(value)):
            found.add(login[0].rstrip("@").partition(":")[2])
    spelt = {form for secret in found for form in (secret, unquote(secret), quote(secret, safe=""))}
    return tuple(sorted((form for form in spelt if len(form) >= _SHORTEST), key=len, reverse=True))


def _homes() -> list[str]:
    """The home folder as it is called and as it is, unless it is the root of all."""
    try:
        home = Path.home()
    except RuntimeError:
        return []
    return [str(one) for one in dict.fromkeys([home, home.resolve()]) if len(one.parts) > 1]
