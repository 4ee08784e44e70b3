"""Every file really opened: its digest, its size, whether it decodes, and what an audit measures of it.

Files are decoded in a pool of processes, so that a decoder that crashes takes one image with it and not the program.
What was measured is kept by content hash: the same images are not decoded again.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from fracture.data.audit import traits
from fracture.data.contents import Progress, in_threads, sha256_of
from fracture.data.images import Grey, ImageError, decode
from fracture.data.inspection.identity import identify
from fracture.data.inspection.inspected import Inspection
from fracture.data.inspection.pool import each
from fracture.data.inspection.store import InspectionStore
from fracture.data.near_duplicates.signatures import Signature, signature
from fracture.data.near_duplicates.store import SignatureStore
from fracture.failures import is_machine

MAX_BYTES = 1 << 29  # half a GiB: no radiograph is larger
_AT_ONCE = 500  # signatures written together


def inspect(
    paths: Sequence[Path], cache_dir: Path, workers: int, progress: Progress | None = None, sign: bool = False
) -> list[Inspection]:
    """Inspect every file, in the order given; none of them raises.

    Args:
        paths: files, any number, repetitions allowed.
        cache_dir: where inspections, signatures and the key of patient digests are kept.
        workers: processes for decoding.
        progress: called with what is being done.
        sign: make the signatures for the near-duplicate search of newly decoded images too.
    """
    report = progress or (lambda *_: None)
    digests = _digests(paths, report)
    with InspectionStore(cache_dir) as store:
        known = store.read(digest for digest in digests if not digest.startswith("!"))
    files = zip(digests, paths, strict=True)
    wanted = {digest: path for digest, path in files if digest not in known and digest[0] != "!"}
    work = partial(open_file, key=patient_key(cache_dir), sign=sign)
    fresh: dict[str, Inspection] = {}
    with SignatureStore(cache_dir) as signatures:
        pending: dict[str, Signature] = {}
        for done, (found, made) in enumerate(each(work, list(wanted.values()), workers, _crashed), start=1):
            fresh[found.sha256] = found
            if made:
                pending[found.sha256] = made
            if len(pending) >= _AT_ONCE or done == len(wanted):
                signatures.put_many(pending)
                pending.clear()
            report("decoding", done, len(wanted))
    with InspectionStore(cache_dir) as store:
        store.write([found for found in fresh.values() if not found.error])
    known |= fresh
    missing = {digest: Inspection("", digest[1:]) for digest in digests if digest.startswith("!")}
    changed = Inspection("", "changed while it was read")
    return [missing.get(digest) or known.get(digest, changed) for digest in digests]


def open_file(path: Path, key: bytes, sign: bool) -> tuple[Inspection, Signature | None]:
    """Inspect one file and, if wanted, make its signature; it is decoded once."""
    try:
        data = path.read_bytes()
    except OSError as error:
        if is_machine(error):
            raise
        return Inspection("", error.strerror or str(error)), None
    digest = hashlib.sha256(data).hexdigest()
    try:
        grey = decode(data)
        height, width = grey.shape
        measured = tuple(round(float(value), 6) for value in traits.measure(data, grey))
        identity = identify(data, key)
    except ImageError as error:
        return Inspection(digest, str(error)), None
    except MemoryError:
        return Inspection(digest, "does not fit into memory"), None
    mean, spread = float(grey.mean()), float(grey.std())
    found = Inspection(digest, "", width, height, phash(grey), mean, spread, identity, measured)
    return found, signature(grey) if sign else None


def phash(grey: Grey) -> str:
    """64-bit perceptual hash, 16 hexadecimal digits: which low frequencies of a 32 x 32 picture exceed their median.

    Good for finding resized or recompressed copies by eye; the audit does not rely on it (Zauner 2010, section 3.2.1).
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = np.asarray(cv2.dct(small))[:8, :8]
    return np.packbits(low > np.median(low)).tobytes().hex()


def patient_key(cache_dir: Path) -> bytes:
    """The secret under which patients are digested, made once on each machine and readable by its owner only."""
    return secret_key(cache_dir / "patient.key")


def secret_key(path: Path) -> bytes:
    """A secret of 32 bytes in a file that only its owner can read, made where there is none."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(secrets.token_bytes(32))
        try:
            path.hardlink_to(part)
        except FileExistsError:
            pass  # another process was first, and its key counts
        finally:
            part.unlink()
    return path.read_bytes()


def _digests(paths: Sequence[Path], report: Progress) -> list[str]:
    """SHA-256 of every file; of one that cannot be read, ``!`` and the reason."""

    def digest(path: Path) -> str:
        try:
            state = path.stat()
            if not stat.S_ISREG(state.st_mode):
                return "!not a regular file"  # a pipe would never end
            if state.st_size > MAX_BYTES:
                return f"!larger than {MAX_BYTES >> 20} MiB"
            return sha256_of(path)
        except OSError as error:
            if is_machine(error):
                raise
            return f"!{error.strerror or error}"

    return in_threads(digest, paths, 4, lambda done: report("reading", done, len(paths)))


def _crashed(path: Path) -> tuple[Inspection, None]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Inspection(digest, "the decoder crashed on it, or it needs more memory than there is"), None
