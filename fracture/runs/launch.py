"""How ``mlflow run`` was called, read off the process that it is: its commands start this one in another folder."""

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

import psutil

FLAGS = {"--build-image", "--help"}  # options of `mlflow run` that take no value; a test compares them


def project() -> str:
    """The project and its version as the user named them to ``mlflow run``, ready for a shell; ``.`` if unknown."""
    try:
        called = [parent.cmdline() for parent in psutil.Process().parents()]
    except psutil.Error:
        called = []
    return next(filter(None, map(read, called)), ".")


def read(words: Sequence[str]) -> str:
    """The project and its version on the command line of a process; empty where that is no ``mlflow run``."""
    at = next((i for i, word in enumerate(words) if Path(word).name in ("mlflow", "mlflow.exe")), None)
    if at is None or "run" not in words[at + 1 :]:
        return ""
    rest = iter(itertools.islice(words, list(words).index("run", at) + 1, None))
    uri = version = ""
    for word in rest:
        if not word.startswith("-"):
            uri = uri or word
            continue
        name, _, value = word.partition("=")
        if not word.startswith("--"):  # -v VERSION or -vVERSION
            name, value = word[:2], word[2:]
        if name not in FLAGS and not value:
            value = next(rest, "")
        if name in ("-v", "--version"):
            version = value
    named = shlex.quote(uri or ".")
    return f"{named} --version {shlex.quote(version)}" if version else named
