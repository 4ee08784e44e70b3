"""The log of answers: rows are made and written by a thread of their own, behind the answer and never in its way."""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from fracture.data.images import is_dicom, opened
from fracture.errors import DataError
from fracture.failures import sentence, unreadable
from fracture.files import expanded, replacing
from fracture.inference.log import Served
from fracture.inference.predictor import Answer
from fracture.monitoring.correction import Correction, latest
from fracture.monitoring.database import DatabaseLog
from fracture.monitoring.folder import FolderLog
from fracture.monitoring.record import Record, make
from fracture.monitoring.window import stamp
from fracture.privacy import without_secrets
from fracture.progress import LOG

WAITING_BYTES = 256 * 2**20  # of images that wait to become rows; more of them leave no row
WAITING_ROWS = 10_000  # that wait for a place that does not take them
_TOGETHER = 0.2  # seconds whose rows are written together
_AGAIN = 1.0  # seconds until a place that failed is tried again, doubled up to the next
_LONGEST_PAUSE = 30.0
_TIDY = 3600.0  # seconds between two looks for what is too old
_LAST_TRY = 10.0  # seconds for what waits at the end


class Place(Protocol):
    """Where rows are kept."""

    def write(self, rows: Sequence[Record]) -> None:
        """Add rows, all or none."""

    def read(self, since: str = "") -> Iterator[Record]:
        """Rows from a moment on."""

    def correct(self, one: Correction) -> None:
        """Add a correction, stored when this returns."""

    def corrections(self, since: str = "") -> Iterator[Correction]:
        """Corrections from a moment on."""

    def forget(self, before: str) -> int:
        """Delete what is older; how much."""

    def close(self) -> None:
        """Let it go."""


@dataclass(frozen=True)
class Policy:
    """What is kept, and for how long.

    Attributes:
        key: of the digests of patients and studies.
        days: rows and images are deleted that are older; None: never.
        images: folder for the files themselves, None: they are not kept.
    """

    key: bytes
    days: int | None = None
    images: Path | None = None


@dataclass(frozen=True)
class _Request:
    when: datetime
    images: Sequence[bytes | Path | None]
    answers: Sequence[Answer]
    seconds: float
    size: int
    served: Served


def place_of(address: str, *, make: bool = False) -> Place:
    """The place that ``DIR``, ``sqlite:///FILE`` or ``postgresql://...`` names.

    Raises:
        ConfigError: none of these, or it cannot be used.
    """
    return DatabaseLog(address, make=make) if "://" in address else FolderLog(expanded(address), make=make)


def check_answers(log: str, place: Place, since: str) -> None:
    """See that a log has an answer in a span of time.

    Raises:
        DataError: it has none, in that time or at all.
    """
    if next(iter(place.read(since)), None) is not None:
        return
    if next(iter(place.read()), None) is not None:
        raise DataError(f"{log}: has no answer since {since}", "--since all takes all of them.")
    raise DataError(
        f"{log}: has no answer at all",
        "Check the name. `fracture serve` and `fracture predict` write answers to the place that --log names.",
    )


class AnswerLog:
    """Takes answers in and never waits, never raises; what it could not keep is counted and said.

    Where the place fails, rows wait for it, `WAITING_ROWS` of them, and it is tried again.
    """

    def __init__(
        self, place: Place, served: Served, policy: Policy, warn: Callable[[str], None] = LOG.warning
    ) -> None:  # fmt: skip
        """Begin to write; ``warn`` takes a sentence when writing begins to fail, and when it goes on."""
        self._warn = warn
        self._place, self._served, self._policy = place, served, policy
        self._queue: queue.Queue[_Request | threading.Event | None] = queue.Queue()
        self._counts = threading.Lock()
        self._bytes, self._waiting, self._lost, self._written, self._not_kept = 0, 0, 0, 0, 0
        self._rows: list[Record] = []
        self._problems: dict[str, str] = {}  # by what is not kept: rows, images, or what is too old
        self._try_at, self._pause, self._tidy_at = 0.0, _AGAIN, 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def put(
        self, images: Sequence[bytes | Path | None], answers: Sequence[Answer], seconds: float, *,
        served: Served | None = None,
    ) -> None:  # fmt: skip
        """Have answers written down, at some time.

        Args:
            images: the bytes of each file, or where they lie; None where none arrived.
            answers: one each.
            seconds: that they took.
            served: who answered, None for the model that the log began with.
        """
        size = sum(len(image) for image in images if isinstance(image, bytes))
        with self._counts:
            if self._bytes + size > WAITING_BYTES or self._queue.qsize() > WAITING_ROWS:
                self._lost += len(answers)
                return
            self._bytes += size
            self._waiting += len(answers)
        self._queue.put(_Request(datetime.now(UTC), images, answers, seconds, size, served or self._served))

    def store(self, images: Sequence[bytes | Path | None], answers: Sequence[Answer], seconds: float) -> None:
        """The same for who can wait: until they are written, or must wait for a place that fails."""
        self.put(images, answers, seconds)
        tried = threading.Event()
        self._queue.put(tried)
        while not tried.wait(1) and self._thread.is_alive():
            pass

    def correct(self, image: str, label: str, by: str, served: Served) -> str:
        """Keep what a reader says that an image is; waits until it is stored.

        Args:
            image: its digest.
            label: its true class.
            by: who says so.
            served: the model that answered to it.

        Returns:
            What went wrong in one sentence, empty where it is stored.
        """
        one = Correction(stamp(datetime.now(UTC)), image, label, by, served.name, served.version, served.weights)
        try:
            self._place.correct(one)
        except Exception as error:  # noqa: BLE001 - whatever a disk or a database says, it is told
            return unreadable(error) if isinstance(error, OSError) else sentence(error)  # no path: readers see it
        return ""

    def corrected(self, image: str) -> dict[str, str]:
        """The last word of a reader on an image, see `Log` in `fracture.inference.log`."""
        last = latest(one for one in self._place.corrections() if one.image == image).get(image)
        return {"label": last.label, "by": last.by, "time": last.time} if last else {}

    def health(self) -> dict[str, object]:
        """Whether rows arrive; see `Log` in `fracture.inference.log`."""
        return {
            "ok": not self._problems and self._thread.is_alive(), "written": self._written,
            "waiting": self._waiting + len(self._rows), "lost": self._lost,
            "problem": "; ".join(list(self._problems.values())),
        }  # fmt: skip

    def close(self) -> str:
        """Write what waits, for ten seconds at most, and stop; what is missing and why, empty where nothing is."""
        self._closing = True
        self._queue.put(None)
        self._thread.join(_LAST_TRY)
        missing = self._lost + self._waiting + len(self._rows)
        slow = "too many at once" if self._lost else "it takes them too slowly"
        said = [f"{missing:,} answers are not in the log: {self._problems.get('rows', slow)}"] if missing else []
        if self._not_kept:
            said.append(
                f"{self._not_kept:,} images are not kept: {self._problems.get('images', 'no room for a while')}"
            )
        return "; ".join(said)

    def _work(self) -> None:
        last = False
        while not last:
            request, tried = self._next(), []
            while request is not None:
                if isinstance(request, _Request):
                    self._take(request)
                else:
                    tried.append(request)
                request = self._queue.get_nowait() if not self._queue.empty() and len(self._rows) < 500 else None
            last = self._closing and self._queue.empty()
            at_once = last or (tried and "rows" not in self._problems)
            if self._rows and (at_once or time.monotonic() >= self._try_at):
                self._write()
            for one in tried:
                one.set()
            self._tidy()
        self._place.close()

    def _next(self) -> _Request | threading.Event | None:
        with suppress(queue.Empty):
            return self._queue.get(timeout=_TOGETHER if self._rows else 1.0)
        return None

    def _take(self, request: _Request) -> None:
        """Make the rows of one request."""
        number = uuid.uuid4().hex[:16]
        for image, answer in zip(request.images, request.answers, strict=True):
            try:
                data = image.read_bytes() if isinstance(image, Path) else image
            except OSError:
                data = None
            try:
                when, key = stamp(request.when), self._policy.key
                row = make(request.served, answer, data, when, number, request.seconds, key)
                self._rows.append(replace(row, kept=self._keep(data, row)))
            except Exception:  # noqa: BLE001 - one odd file must not end the log
                self._lose(1)
                LOG.exception("an answer could not be logged")
        with self._counts:
            self._bytes -= request.size
            self._waiting -= len(request.answers)
        if (over := len(self._rows) - WAITING_ROWS) > 0:
            del self._rows[:over]
            self._lose(over)

    def _lose(self, count: int) -> None:
        with self._counts:
            self._lost += count

    def _keep(self, data: bytes | None, row: Record) -> str:
        """Keep a file that could be read, named by its digest; its place below the folder."""
        if self._policy.images is None or data is None or row.error:
            return ""
        name = f"{row.image[:2]}/{row.image}.{_suffix(data)}"
        path = self._policy.images / name
        try:
            if path.exists():
                path.touch()  # it came again: its days begin anew
                return name
            with replacing(path) as part:
                part.write_bytes(data)
        except OSError as error:
            self._not_kept += 1
            error.filename = str(self._policy.images)  # the same trouble for each image is said once
            self._fail("images", error)
            return ""
        self._problems.pop("images", None)
        return name

    def _write(self) -> None:
        rows = self._rows[:]
        try:
            self._place.write(rows)
        except Exception as error:  # noqa: BLE001 - whatever a disk or a database says, answers go on
            self._fail("rows", error)
            self._try_at = time.monotonic() + self._pause
            self._pause = min(_LONGEST_PAUSE, self._pause * 2)
            return
        self._rows = []
        self._written += len(rows)
        self._try_at, self._pause = time.monotonic() + _TOGETHER, _AGAIN
        if self._problems.pop("rows", ""):
            self._warn(f"the log of answers is written again; {self._lost:,} rows are lost")

    def _fail(self, what: str, error: BaseException) -> None:
        said = f"{what}: {without_secrets(sentence(error))}"
        if said != self._problems.get(what):
            self._warn(f"the log of answers is not written, the answers go on: {said}")
        self._problems[what] = said

    def _tidy(self) -> None:
        """Delete what is older than it may be, now and then."""
        if self._policy.days is None or time.monotonic() < self._tidy_at or self._closing:
            return
        self._tidy_at = time.monotonic() + _TIDY
        before = datetime.now(UTC) - timedelta(days=self._policy.days)
        try:
            self._place.forget(stamp(before))
            for path in self._policy.images.rglob("*.*") if self._policy.images else ():
                if path.is_file() and path.stat().st_mtime < before.timestamp():
                    path.unlink(missing_ok=True)
            self._problems.pop("what is too old", None)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail("what is too old", error)


def _suffix(data: bytes) -> str:
    """How a file's name should end."""
    if is_dicom(data):
        return "dcm"
    with opened(data) as image:
        return {"JPEG": "jpg", "TIFF": "tif"}.get(image.format or "", (image.format or "tif").lower())
