"""A request for answers, read within its limits of bytes, images and seconds."""

import asyncio
import json
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from fracture.data.images import ImageError
from fracture.inference.inputs import from_base64
from fracture.inference.predictor import Answer

_OPTIONS = ("heat_map", "radiograph", "study")  # in the order of the fields below


@dataclass(frozen=True)
class Limits:
    """What one request, and all together, may contain.

    Attributes:
        body: bytes of a request.
        images: images of a request.
        pixels: of all images of a request together.
        waiting: requests that may wait for the model.
        seconds: until a request has arrived, and then until its images are decoded.
    """

    body: int = 32 * 2**20
    images: int = 16
    pixels: int = 200_000_000
    waiting: int = 64
    seconds: float = 30.0


@dataclass(frozen=True)
class PredictRequest:
    """The images of one request.

    Attributes:
        images: bytes of files; an answer where one is no base64.
        heat: whether heat maps are wanted.
        radiograph: whether the radiographs are wanted as they were decoded.
        study: whether they are of one study, which is to be answered too.
    """

    images: list[bytes | Answer]
    heat: bool = False
    radiograph: bool = False
    study: bool = False


async def read(request: Request, limits: Limits) -> PredictRequest:
    """Take a request in.

    Raises:
        HTTPException: 408 too slow, 413 too large, 415 of another kind, 400 anything else that is wrong with it.
        ClientDisconnect: it was given up.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            await _buffer(request, limits.body)
    except TimeoutError as error:
        raise HTTPException(
            408, f"the request had not arrived after {limits.seconds:g} s", {"Connection": "close"}
        ) from error
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        wanted = await asyncio.to_thread(_from_json, await request.body(), limits.images)
    elif kind == "multipart/form-data":
        wanted = await _from_form(request, limits)
    else:
        raise HTTPException(415, "send multipart/form-data with files, or application/json with images in base64")
    _check_count(len(wanted.images), limits.images)
    return wanted


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


def _from_json(body: bytes, most: int) -> PredictRequest:
    try:
        wanted = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(wanted, dict) or not isinstance(wanted.get("images"), list):
        raise HTTPException(
            400, 'expected {"images": ["<base64>", ...], "heat_map": false, "radiograph": false, "study": false}'
        )
    _check_count(len(wanted["images"]), most)  # before anything is decoded
    images = [_decoded(text) for text in wanted["images"]]
    return PredictRequest(images, *(wanted.get(name) is True for name in _OPTIONS))


def _decoded(text: object) -> bytes | Answer:
    try:
        return from_base64(text)
    except ImageError as error:
        return Answer(error=str(error))


async def _from_form(request: Request, limits: Limits) -> PredictRequest:
    try:
        async with request.form(max_files=limits.images, max_fields=8) as form:
            files = [await part.read() for _, part in form.multi_items() if isinstance(part, UploadFile)]
            return PredictRequest(list(files), *(form.get(name) == "true" for name in _OPTIONS))
    except (MultiPartException, ValueError, LookupError) as error:
        raise HTTPException(400, "the multipart body cannot be read") from error
