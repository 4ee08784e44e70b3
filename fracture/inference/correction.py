"""What a reader sends to correct an answer, read and judged."""

import json
import re
from collections.abc import Callable, Collection
from typing import Any

from fastapi import HTTPException, Request

_LARGEST = 4096  # bytes
_LONGEST = 100  # characters of a name
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAMES = {"sha256", "label", "by"}


async def read(request: Request, classes_of: Callable[[str], Collection[str]]) -> dict[str, str]:
    """``sha256`` of the image, its true ``label``, and ``by`` whom.

    JSON alone is taken: no page of another site can send that without being asked.

    Args:
        request: what was sent.
        classes_of: the classes of the model that answered to the image of a digest, replaced since or not.

    Raises:
        HTTPException: 413 too large, 415 of another kind, 400 anything else that is wrong with it.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST:
            raise HTTPException(413, f"more than {_LARGEST:,} bytes")
    try:
        values: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "is no JSON") from error
    if problems := _problems(values, classes_of):
        raise HTTPException(400, "; ".join(problems))
    return {"sha256": values["sha256"], "label": values["label"], "by": values["by"].strip()}


def _problems(values: Any, classes_of: Callable[[str], Collection[str]]) -> list[str]:
    """Everything that is wrong, a sentence each."""
    if not isinstance(values, dict) or set(values) != _NAMES or not all(isinstance(v, str) for v in values.values()):
        return ["wanted are the texts sha256, label and by"]
    found = []
    if not _DIGEST.fullmatch(values["sha256"]):
        found.append("sha256: the one that came with the answer, 64 hexadecimal digits")
    if values["label"] not in (classes := classes_of(values["sha256"])):
        found.append(f"label: one of {', '.join(classes)}")
    name = values["by"].strip()
    if not 0 < len(name) <= _LONGEST or not name.isprintable():
        found.append(f"by: who says so, 1 to {_LONGEST} characters")
    return found
