"""Nonsense for the server: hypothesis makes bytes, headers and JSON; no reply may be a 5xx, nothing may crash.

python -m tests.benchmarks.fuzz [COUNT]

It prints how many requests were answered and how. The model is tiny and has random weights; the application is the one
that `fracture serve` runs.
"""

import base64
import io
import json
import sys
from collections import Counter

import numpy as np
import torch
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from fracture.inference.predictor import Predictor
from fracture.inference.web import Limits, application
from fracture.models import backbones, checkpoint
from tests.benchmarks.machine import machine

KINDS = ["application/json", "multipart/form-data; boundary=b", "multipart/form-data; charset=x", "multipart/form-data",
         "text/plain", "", "application/json; charset=utf-7", "multipart/form-data; boundary=" + "x" * 300]  # fmt: skip
ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def picture(form: str) -> bytes:
    """A small image file."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (70, 70), np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


HEADERS = st.dictionaries(ASCII.filter(str.isidentifier), ASCII, max_size=3)
VERBS, PATHS = ["POST"] * 8 + ["GET", "PUT"], ["/predict"] * 8 + ["/", "/metrics"]
FILES = [picture(form) for form in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")]
FILES.append(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\0\0\0\0" * 8)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An image file that is cut, changed in a few bytes, or followed by others."""
    data = bytearray(draw(st.sampled_from(FILES)))
    for place, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        data[place] = value
    return bytes(data[: draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=20))


def bodies() -> st.SearchStrategy[tuple[bytes, str]]:
    """A body and its kind: raw bytes, any JSON, JSON of damaged images, forms with damaged files."""
    as_json = VALUES.map(lambda value: (json.dumps(value).encode(), KINDS[0]))
    asked = st.lists(damaged().map(lambda one: base64.b64encode(one).decode()) | st.text(max_size=20), max_size=4)
    images = st.tuples(asked, VALUES).map(
        lambda pair: (json.dumps({"images": pair[0], "heat_map": pair[1]}).encode(), KINDS[0])
    )
    form = damaged().map(
        lambda one: (b'--b\r\ncontent-disposition: form-data; name="files"; filename="a"\r\n\r\n' + one + b"\r\n--b--",
                     KINDS[1])
    )  # fmt: skip
    return st.tuples(st.binary(max_size=400), st.sampled_from(KINDS)) | as_json | images | form


def small() -> Predictor:
    """A predictor of a tiny model with random weights."""
    backbone = backbones.find("test_resnet")
    torch.manual_seed(0)
    model = backbones.build(backbone, 3)
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=("a", "no_fracture", "b"), image_size=32, mean=backbone.mean, std=backbone.std,
        parameters=1, weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=True,
        license="none",
    )  # fmt: skip
    return Predictor(model, sidecar)


def main(count: int = 10_000) -> None:
    """Send that many."""
    seen: Counter[int] = Counter()
    app = application(small(), Limits(body=2**20, images=4))
    with TestClient(app, raise_server_exceptions=False) as client:

        @settings(
            max_examples=count, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(bodies(), HEADERS, st.sampled_from(VERBS), st.sampled_from(PATHS))
        def ask(body: tuple[bytes, str], headers: dict[str, str], verb: str, path: str) -> None:
            reply = client.request(verb, path, content=body[0], headers=headers | {"content-type": body[1]})
            seen[reply.status_code] += 1
            assert reply.status_code < 500, (verb, path, body, headers, reply.text)
            assert "Traceback" not in reply.text

        ask()
        good = base64.b64encode(FILES[0]).decode()
        assert client.post("/predict", json={"images": [good]}).json()["answers"][0]["error"] == ""
    print(machine())
    print(f"{sum(seen.values())} requests, none 5xx, the server answers after them: {dict(sorted(seen.items()))}")


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]))
