"""The web application: images in by multipart or base64, answers out as JSON, and one page for people."""

import asyncio
import base64
import json
import queue
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Semaphore

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from fracture.data.images import ImageError
from fracture.inference.batching import Batcher
from fracture.inference.counters import Counters
from fracture.inference.inputs import from_base64
from fracture.inference.predictor import Answer, Predictor

_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)


@dataclass(frozen=True)
class Limits:
    """What one request and all together may ask.

    Attributes:
        body: bytes of a request.
        images: images of a request.
        waiting: requests that may wait for the model.
    """

    body: int = 32 * 2**20
    images: int = 16
    waiting: int = 64


@dataclass(frozen=True)
class _Asked:
    images: list[bytes | Answer]  # an answer where it is no base64
    heat: bool


def application(predictor: Predictor, limits: Limits | None = None) -> FastAPI:
    """A server of one model; it stops answering when its lifespan ends, after those who wait."""
    allowed, counters, batcher = limits or Limits(), Counters(), Batcher(predictor, (limits or Limits()).waiting)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(batcher.close)

    maps, asked_for = ThreadPoolExecutor(1, "maps"), Semaphore(allowed.waiting)  # as long a line as for answers
    app = FastAPI(title="fracture", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")

    @app.get("/")
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})

    @app.get("/healthz")
    async def health() -> JSONResponse:
        sidecar = predictor.sidecar
        known = {
            "model": sidecar.model, "classes": sidecar.classes, "healthy_class": sidecar.healthy,
            "synthetic": sidecar.synthetic,
        }  # fmt: skip
        return JSONResponse({"ok": batcher.alive, **known}, 200 if batcher.alive else 503)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(counters.page(batcher.depth), media_type="text/plain; version=0.0.4")

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        began, status = time.perf_counter(), 500
        try:
            asked = await _read(request, allowed)
            with _in_line(asked_for) if asked.heat else nullcontext():
                answers = await _answer(asked, batcher)
                counters.images(len(answers), sum(bool(answer.error) for answer in answers))
                rows = [asdict(answer) for answer in answers]
                if asked.heat:
                    await asyncio.get_running_loop().run_in_executor(maps, _add_heat, predictor, asked, rows)
            status = 200
            return JSONResponse({"model": predictor.sidecar.model, "answers": rows})
        except HTTPException as error:
            status = error.status_code
            raise
        finally:
            counters.request(status, time.perf_counter() - began)

    return app


@contextmanager
def _in_line(line: Semaphore) -> Iterator[None]:
    """A place in a line that has an end."""
    if not line.acquire(blocking=False):
        raise HTTPException(429, "too many requests wait; try again", {"Retry-After": "1"})
    try:
        yield
    finally:
        line.release()


async def _answer(asked: _Asked, batcher: Batcher) -> list[Answer]:
    try:
        waiting = batcher.ask([image for image in asked.images if isinstance(image, bytes)])
    except queue.Full as error:
        raise HTTPException(429, "too many requests wait; try again", {"Retry-After": "1"}) from error
    answers: list[Answer] = await asyncio.wrap_future(waiting)
    found = iter(answers)
    return [image if isinstance(image, Answer) else next(found) for image in asked.images]


async def _read(request: Request, limits: Limits) -> _Asked:
    await _buffer(request, limits.body)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        asked = await asyncio.to_thread(_from_json, await request.body(), limits.images)
    elif kind == "multipart/form-data":
        asked = await _from_form(request, limits)
    else:
        raise HTTPException(415, "send multipart/form-data with files, or application/json with images in base64")
    _check_count(len(asked.images), limits.images)
    return asked


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise HTTPException(400, f"{count} images: 1 to {most} are allowed in a request")


async def _buffer(request: Request, most: int) -> None:
    """Take the body in, never more than ``most`` bytes of it; `Request` then answers from there."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"more than {most / 2**20:.0f} MiB in one request")
        parts.append(part)
    request._body = b"".join(parts)  # where `Request.body` and `Request.stream` keep it


def _from_json(body: bytes, most: int) -> _Asked:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("images"), list):
        raise HTTPException(400, 'expected {"images": ["<base64>", ...], "heat_map": false}')
    _check_count(len(asked["images"]), most)  # before anything is decoded
    return _Asked([_decoded(text) for text in asked["images"]], asked.get("heat_map") is True)


def _decoded(text: object) -> bytes | Answer:
    try:
        return from_base64(text)
    except ImageError as error:
        return Answer(error=str(error))


async def _from_form(request: Request, limits: Limits) -> _Asked:
    try:
        async with request.form(max_files=limits.images, max_fields=8) as form:
            files = [await part.read() for _, part in form.multi_items() if isinstance(part, UploadFile)]
            return _Asked(list(files), form.get("heat_map") == "true")
    except (MultiPartException, ValueError, LookupError) as error:
        raise HTTPException(400, "the multipart body cannot be read") from error


def _add_heat(predictor: Predictor, asked: _Asked, rows: list[dict[str, object]]) -> None:
    for image, row in zip(asked.images, rows, strict=True):
        if isinstance(image, bytes) and row["label"]:
            try:
                png = predictor.heat_map(image, str(row["label"]))
                row["heat_map"] = "data:image/png;base64," + base64.b64encode(png).decode()
            except (ImageError, ValueError) as error:
                row["heat_map_error"] = str(error)
