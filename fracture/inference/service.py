"""One model that many ask: decoding, answers and pictures, each with a bounded queue."""

import asyncio
import base64
import hashlib
import queue
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Semaphore
from typing import Any, NamedTuple

from fastapi import HTTPException

from fracture.inference import about as known
from fracture.inference.about import About
from fracture.inference.batching import Batcher
from fracture.inference.counters import Counters
from fracture.inference.log import Log, Served
from fracture.inference.predictor import Answer, Predictor, Prepared
from fracture.inference.request import Limits, PredictRequest
from fracture.inference.study import answer_study

_SHORT = ("title", "version", "model", "weights_sha256")  # said with every answer
_REMEMBERED = 10_000  # images whose model is remembered, for readers who correct an answer later


class AnsweringModel(NamedTuple):
    """What is remembered of the model that answered to an image; not the model, whose memory is to be free again.

    Attributes:
        served: what its answers are logged as.
        classes: what it tells apart.
    """

    served: Served
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """The model that answers.

    Attributes:
        predictor: itself.
        facts: all that is said of it.
        served: what its answers are counted and logged as.
    """

    predictor: Predictor
    facts: dict[str, Any]
    served: Served

    @classmethod
    def of(cls, predictor: Predictor, about: About) -> "Model":
        """A model with what is known of it."""
        return cls(predictor, known.page(about, predictor.sidecar), known.served(about, predictor.sidecar))

    @property
    def answerer(self) -> AnsweringModel:
        """What a correction of its answers needs to know."""
        return AnsweringModel(self.served, tuple(self.predictor.sidecar.classes))

    @property
    def short(self) -> dict[str, str]:
        """What is said of it with every answer."""
        return {name: self.facts[name] for name in _SHORT}


class Service:
    """One model that many use, with all that a server needs beside it; another can take its place."""

    def __init__(self, predictor: Predictor, limits: Limits, about: About, log: Log | None = None) -> None:
        """Begin to answer."""
        self.model, self.limits, self.log = Model.of(predictor, about), limits, log
        self.counters, self.batcher = Counters(log), Batcher(limits.waiting)
        self.counters.watch(lambda: self.batcher.depth)
        self.counters.now(self.model.served, changed=False)
        self.following: Callable[[], dict[str, object]] | None = None
        self._decoding, self._maps = ThreadPoolExecutor(2, "decoding"), ThreadPoolExecutor(1, "maps")
        self._slots = Semaphore(limits.waiting)  # of requests from decoding to heat map
        self._answered: OrderedDict[str, AnsweringModel] = OrderedDict()

    def take(self, predictor: Predictor, about: About) -> None:
        """Answer with another model from the next request on; what has begun is finished by the one that began it."""
        predictor.watched = self.model.predictor.watched
        self.model = Model.of(predictor, about)
        self.counters.now(self.model.served, changed=True)

    async def answer(self, request: PredictRequest) -> dict[str, Any]:
        """The ``answers`` to one request with the model that gave them, and to its ``study`` where that is wanted.

        Raises:
            HTTPException: 413 too many pixels, 429 too many wait, 503 decoding took too long.
        """
        began, images = time.perf_counter(), list(request.images) if self.log else []
        model = self.model  # of the whole request, whatever is taken up meanwhile
        with self._slot():
            read_images, digests = await self._decode(model.predictor, request)
            answers = iter(await self._ask(model.predictor, [one for one in read_images if isinstance(one, Prepared)]))
            found = [(one, next(answers) if isinstance(one, Prepared) else one) for one in read_images]
            self.counters.answers([answer for _, answer in found], model.served)
            rows = [answer.said() for _, answer in found]
            if self.log:
                files = [one if isinstance(one, bytes) else None for one in images]
                seconds = time.perf_counter() - began
                self.log.put(files, [answer for _, answer in found], seconds, served=model.served)
                for row, digest in zip(rows, digests, strict=True):
                    row |= {"sha256": digest} if digest else {}
                self._remember(digests, model.answerer)
            if request.heat or request.radiograph:
                work = partial(_add_pictures, model.predictor, request, found, rows)
                await asyncio.get_running_loop().run_in_executor(self._maps, work)
        study = {"study": _of_study(model.predictor, [answer for _, answer in found])} if request.study else {}
        return {**model.short, "answers": rows} | study

    def answered_by(self, digest: str) -> AnsweringModel:
        """The model that last answered to an image of this digest; the one that answers now where none is known."""
        return self._answered.get(digest) or self.model.answerer

    def _remember(self, digests: list[str], answerer: AnsweringModel) -> None:
        for digest in filter(None, digests):
            self._answered[digest] = answerer
            self._answered.move_to_end(digest)
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)

    def close(self) -> None:
        """Answer those who wait, then stop."""
        self.batcher.close()
        self._decoding.shutdown(wait=False, cancel_futures=True)
        self._maps.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """One of the places of requests that may wait."""
        if not self._slots.acquire(blocking=False):
            raise _full()
        try:
            yield
        finally:
            self._slots.release()

    async def _decode(self, predictor: Predictor, request: PredictRequest) -> tuple[list[Prepared | Answer], list[str]]:
        late = Event()
        work = asyncio.get_running_loop().run_in_executor(self._decoding, self._prepare, predictor, request, late)
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except TimeoutError as error:
            raise HTTPException(503, f"its images were not decoded after {self.limits.seconds:g} s") from error
        finally:
            late.set()  # who waits no longer wants no further image decoded

    def _prepare(
        self, predictor: Predictor, request: PredictRequest, late: Event
    ) -> tuple[list[Prepared | Answer], list[str]]:
        """One image after the other, until the request has too many pixels or is given up; with a log also digests."""
        found: list[Prepared | Answer] = []
        digests: list[str] = []
        pictures, pixels = request.heat or request.radiograph, 0
        for i, one in enumerate(request.images):
            if late.is_set():
                break
            found.append(predictor.prepare(one, pictures=pictures) if isinstance(one, bytes) else one)
            digests.append(hashlib.sha256(one).hexdigest() if self.log and isinstance(one, bytes) else "")
            request.images[i] = b""  # no longer needed
            pixels += found[-1].pixels if isinstance(found[-1], Prepared) else 0
            if pixels > self.limits.pixels:
                raise HTTPException(
                    413, f"more than {self.limits.pixels:,} pixels in one request: send fewer images at once"
                )
        return found, digests

    async def _ask(self, predictor: Predictor, images: list[Prepared]) -> list[Answer]:
        if not images:
            return []
        try:
            waiting = self.batcher.ask(predictor, images)
        except queue.Full as error:
            raise _full() from error
        return await asyncio.wrap_future(waiting)


def _of_study(predictor: Predictor, answers: list[Answer]) -> dict[str, Any]:
    found = answer_study(answers, predictor.sidecar.rule)
    return found.answer.said() | {"shares": found.shares}


def _add_pictures(
    predictor: Predictor, request: PredictRequest, found: list[tuple[Prepared | Answer, Answer]],
    rows: list[dict[str, Any]],
) -> None:  # fmt: skip
    for (one, answer), row in zip(found, rows, strict=True):
        if not isinstance(one, Prepared):
            continue
        radiograph = predictor.radiograph(one)
        if request.radiograph:
            row["radiograph"] = _data_url(radiograph)
        if request.heat and answer.label:
            try:
                row["heat_map"] = _data_url(predictor.heat(one, answer.label))
            except ValueError as error:
                row["heat_map_error"] = str(error)


def _full() -> HTTPException:
    return HTTPException(429, "too many requests wait; try again", {"Retry-After": "1"})


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
