"""One model that many ask: decoding, answers and pictures, each with a bounded queue."""

import asyncio
import base64
import hashlib
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Semaphore
from typing import Any

from fastapi import HTTPException

from fracture.inference.batching import Batcher
from fracture.inference.counters import Counters
from fracture.inference.log import Log
from fracture.inference.predictor import Answer, Predictor, Prepared
from fracture.inference.request import Limits, PredictRequest
from fracture.inference.study import answer_study


class Service:
    """One model that many use, with all that a server needs beside it."""

    def __init__(
        self, predictor: Predictor, limits: Limits, log: Log | None = None, counters: Counters | None = None
    ) -> None:
        """Begin to answer."""
        self.predictor, self.limits, self.log = predictor, limits, log
        self.counters, self.batcher = counters or Counters(log=log), Batcher(predictor, limits.waiting)
        self.counters.watch(lambda: self.batcher.depth)
        self._decoding, self._maps = ThreadPoolExecutor(2, "decoding"), ThreadPoolExecutor(1, "maps")
        self._slots = Semaphore(limits.waiting)  # of requests from decoding to heat map

    async def answer(self, request: PredictRequest) -> dict[str, Any]:
        """The ``answers`` to one request, and to its ``study`` where that is asked for, as JSON has them.

        Raises:
            HTTPException: 413 too many pixels, 429 too many wait, 503 decoding took too long.
        """
        began, images = time.perf_counter(), list(request.images) if self.log else []
        with self._slot():
            read_images = await self._decode(request)
            answers = iter(await self._ask([one for one in read_images if isinstance(one, Prepared)]))
            found = [(one, next(answers) if isinstance(one, Prepared) else one) for one in read_images]
            self.counters.answers([answer for _, answer in found])
            rows = [answer.said() for _, answer in found]
            if self.log:
                files = [one if isinstance(one, bytes) else None for one in images]
                self.log.put(files, [answer for _, answer in found], time.perf_counter() - began)
                for row, file in zip(rows, files, strict=True):
                    row |= {"sha256": hashlib.sha256(file).hexdigest()} if file is not None else {}
            if request.heat or request.radiograph:
                await asyncio.get_running_loop().run_in_executor(self._maps, self._add_pictures, request, found, rows)
        return {"answers": rows} | ({"study": self._of_study([answer for _, answer in found])} if request.study else {})

    def _of_study(self, answers: list[Answer]) -> dict[str, Any]:
        found = answer_study(answers, self.predictor.sidecar.rule)
        return found.answer.said() | {"shares": found.shares}

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

    async def _decode(self, request: PredictRequest) -> list[Prepared | Answer]:
        late = Event()
        work = asyncio.get_running_loop().run_in_executor(self._decoding, self._prepare, request, late)
        try:
            return await asyncio.wait_for(work, self.limits.seconds)
        except TimeoutError as error:
            raise HTTPException(503, f"its images were not decoded after {self.limits.seconds:g} s") from error
        finally:
            late.set()  # who waits no longer wants no further image decoded

    def _prepare(self, request: PredictRequest, late: Event) -> list[Prepared | Answer]:
        """One image after the other, until the request has too many pixels or is given up."""
        found: list[Prepared | Answer] = []
        pictures, pixels = request.heat or request.radiograph, 0
        for i, one in enumerate(request.images):
            if late.is_set():
                break
            found.append(self.predictor.prepare(one, pictures=pictures) if isinstance(one, bytes) else one)
            request.images[i] = b""  # no longer needed
            pixels += found[-1].pixels if isinstance(found[-1], Prepared) else 0
            if pixels > self.limits.pixels:
                raise HTTPException(
                    413, f"more than {self.limits.pixels:,} pixels in one request: send fewer images at once"
                )
        return found

    async def _ask(self, images: list[Prepared]) -> list[Answer]:
        if not images:
            return []
        try:
            waiting = self.batcher.ask(images)
        except queue.Full as error:
            raise _full() from error
        return await asyncio.wrap_future(waiting)

    def _add_pictures(
        self, request: PredictRequest, found: list[tuple[Prepared | Answer, Answer]], rows: list[dict[str, Any]]
    ) -> None:
        for (one, answer), row in zip(found, rows, strict=True):
            if not isinstance(one, Prepared):
                continue
            radiograph = self.predictor.radiograph(one)
            if request.radiograph:
                row["radiograph"] = _data_url(radiograph)
            if request.heat and answer.label:
                try:
                    row["heat_map"] = _data_url(self.predictor.heat(one, answer.label))
                except ValueError as error:
                    row["heat_map_error"] = str(error)


def _full() -> HTTPException:
    return HTTPException(429, "too many requests wait; try again", {"Retry-After": "1"})


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
