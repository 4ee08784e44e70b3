"""The web application: images in by multipart or base64, answers out as JSON, and one page for people."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.requests import ClientDisconnect

from fracture import heap
from fracture.inference import correction, openapi
from fracture.inference.about import About
from fracture.inference.access import AccessMiddleware
from fracture.inference.log import Log
from fracture.inference.predictor import Predictor
from fracture.inference.request import Limits, read
from fracture.inference.service import Service

_GIVEN_UP = 499  # nginx's status of a request whose client went away: nobody reads it, but it is counted
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_LARGE = 4 * 2**20  # bytes of a body from which on memory is given back


def application(
    predictor: Predictor, limits: Limits | None = None, about: About | None = None, *, token: str = "",
    docs: bool = True, say: Callable[[str], None] = lambda _line: None, log: Log | None = None,
) -> FastAPI:  # fmt: skip
    """A server of one model; it stops answering when its lifespan ends, after those who wait.

    ``state.service`` is its `Service`, to which another model can be given.

    Args:
        predictor: the model.
        limits: of a request.
        about: what is known of the model.
        token: what must be sent as ``Authorization: Bearer TOKEN``; empty lets everybody in.
        docs: whether ``/docs`` and ``/openapi.json`` are there.
        say: takes a line a request.
        log: keeps the answers.
    """
    service = Service(predictor, limits or Limits(), about or About(), log)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="fracture", summary=openapi.SUMMARY, lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
    )  # fmt: skip
    app.state.service = service
    app.add_middleware(AccessMiddleware, token=token, say=say)
    _add_facts(app, service)
    _add_predict(app, service)
    _add_feedback(app, service)
    for path, (name, kind) in _PAGE.items():
        _add_file(app, path, name, kind)
    if docs:
        _add_docs(app)
    return app


def _add_facts(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Whether it answers, and which model")
    async def health() -> JSONResponse:
        alive, model = service.batcher.alive, service.model
        more = {name: model.facts[name] for name in ("classes", "healthy_class", "synthetic")}
        body = {"ok": alive, **model.short, **more}
        body |= {"log": service.log.health()} if service.log else {}
        body |= {"follow": service.following()} if service.following else {}
        return JSONResponse(body, 200 if alive else 503)

    @app.get("/model", summary="What the model is, what it was trained on, how it decides and how well it did")
    async def model() -> JSONResponse:
        return JSONResponse({**service.model.facts, "feedback": service.log is not None})

    @app.get("/metrics", summary="Requests, answers, seconds and memory, for Prometheus and OpenMetrics")
    async def metrics(request: Request) -> Response:
        page, kind = service.counters.page(request.headers.get("accept", ""))
        return Response(page, media_type=kind)


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post("/predict", summary="Answers to images", openapi_extra=openapi.PREDICT)
    async def predict(request: Request) -> Response:
        began, status = time.perf_counter(), 500
        try:
            body = await service.answer(await read(request, service.limits))
            status = 200
            return JSONResponse(body)
        except HTTPException as error:
            status = error.status_code
            raise
        except ClientDisconnect:
            status = _GIVEN_UP
            return Response(status_code=status)
        except asyncio.CancelledError:  # the server stops and waits no longer
            status = 503
            return JSONResponse({"detail": "the server stops"}, status)
        finally:
            service.counters.request(status, time.perf_counter() - began)
            if int(request.headers.get("content-length") or _LARGE) >= _LARGE:
                request._body = b""
                asyncio.get_running_loop().run_in_executor(None, heap.give_back)


def _add_feedback(app: FastAPI, service: Service) -> None:
    @app.post("/feedback", summary="What an image really is, by a reader", openapi_extra=openapi.FEEDBACK)
    async def feedback(request: Request) -> JSONResponse:
        log = service.log
        if log is None:
            raise HTTPException(404, "this server keeps no log of its answers: fracture serve --log")
        said = await correction.read(request, lambda digest: service.answered_by(digest).classes)
        served, before = service.answered_by(said["sha256"]).served, await _said_before(log, said["sha256"])
        if problem := await asyncio.to_thread(log.correct, said["sha256"], said["label"], said["by"], served):
            raise HTTPException(503, f"the log cannot take it: {problem}")
        return JSONResponse({"kept": True, **said, **({"replaces": before} if before else {})})

    @app.get("/feedback", summary="What a reader has said last that an image is: label, by and time; {} if nobody did")
    async def said(sha256: str) -> JSONResponse:
        return JSONResponse(await _said_before(service.log, sha256) if service.log else {})


async def _said_before(log: Log, digest: str) -> dict[str, str]:
    """A log that cannot be read is no reason to refuse a correction."""
    with suppress(Exception):
        return {**await asyncio.to_thread(log.corrected, digest)}
    return {}


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        return HTMLResponse(openapi.page(app.openapi()), headers=_HEADERS)


def _add_file(app: FastAPI, path: str, name: str, kind: str) -> None:
    content = (Path(__file__).with_name("page") / name).read_bytes()

    @app.get(path, include_in_schema=False)
    async def show() -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)
