"""The web application: both ways in, limits, a full queue, nonsense, and the page in a browser."""

import base64
import io
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fracture.errors import ConfigError, DataError
from fracture.inference import table
from fracture.inference.about import About
from fracture.inference.access import HeaderTimeoutProtocol
from fracture.inference.batching import Batcher
from fracture.inference.predictor import Predictor, Prepared
from fracture.inference.request import Limits
from fracture.inference.study import answer_study
from fracture.inference.web import application
from tests.small_model import png, small


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return small(fracture_threshold=None, refer_below=None)


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    limits = Limits(body=2**20, images=4)
    with TestClient(application(predictor, limits), raise_server_exceptions=False) as asked:
        yield asked


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_both_ways_in_answer_as_the_predictor_does(client: TestClient, predictor: Predictor) -> None:
    (expected,) = predictor.predict(png())
    by_file = client.post("/predict", files=[("files", ("a.png", png()))], data={"heat_map": "true"}).json()
    by_text = client.post("/predict", json={"images": [text(png()), "/etc/passwd"]}).json()
    for answer in (by_file["answers"][0], by_text["answers"][0]):
        assert answer["label"] == expected.label
        assert answer["probabilities"] == pytest.approx(expected.probabilities, rel=1e-4)
    assert by_text["answers"][1]["error"]
    assert by_text["answers"][1]["refer"]


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))


def test_pictures_show_the_whole_radiograph_in_one_frame(client: TestClient) -> None:
    wide = np.tile(np.linspace(0, 65535, 300).astype(np.uint16), (100, 1))  # a browser shows no TIFF of 16 bits
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "TIFF")
    options = {"heat_map": True, "radiograph": True}
    both, none = client.post("/predict", json={"images": [text(buffer.getvalue()), text(b"no")], **options}).json()[
        "answers"
    ]
    seen, heat = picture(both["radiograph"]), picture(both["heat_map"])
    assert (seen.size, heat.size) == ((300, 100), (300, 100))
    row = np.asarray(seen)[50].astype(int)
    assert row[0] < 10
    assert row[-1] > 245
    assert (np.diff(row) >= 0).all()
    assert none["error"]
    assert "radiograph" not in none
    (plain,) = client.post("/predict", json={"images": [text(png())]}).json()["answers"]
    assert not {"radiograph", "heat_map"} & set(plain)


def test_images_of_one_study_are_answered_together(client: TestClient, predictor: Predictor) -> None:
    images = [png(1), png(2)]
    expected = answer_study(predictor.predict(images), predictor.sidecar.rule)
    files = [("files", (f"{i}.png", image)) for i, image in enumerate(images)]
    by_form = client.post("/predict", files=files, data={"study": "true"}).json()
    by_json = client.post("/predict", json={"images": [text(image) for image in images], "study": True}).json()
    for reply in (by_form, by_json):
        assert reply["study"]["probabilities"] == pytest.approx(expected.answer.probabilities, rel=1e-4)
        assert reply["study"]["shares"] == pytest.approx(list(expected.shares), rel=1e-3)
        assert len(reply["answers"]) == 2
    assert "study" not in client.post("/predict", json={"images": [text(png())]}).json()


def test_every_answer_names_the_model(client: TestClient, predictor: Predictor) -> None:
    reply = client.post("/predict", json={"images": [text(png())]}).json()
    assert reply["weights_sha256"] == predictor.sidecar.weights_sha256
    assert reply["model"] == predictor.sidecar.model


def test_a_request_is_bound_by_pixels_and_seconds(predictor: Predictor) -> None:
    with TestClient(application(predictor, Limits(pixels=25_000))) as few:
        assert few.post("/predict", json={"images": [text(png())] * 2}).status_code == 200
        refused = few.post("/predict", json={"images": [text(png())] * 3})
        assert (refused.status_code, "25,000 pixels" in refused.text) == (413, True)
    slow = Predictor(predictor.module, predictor.sidecar)
    slow.prepare = lambda one, **options: (time.sleep(0.3), predictor.prepare(one, **options))[1]  # type: ignore[method-assign]
    with TestClient(application(slow, Limits(seconds=0.4))) as late:
        assert late.post("/predict", json={"images": [text(png())] * 3}).status_code == 503
        assert late.post("/predict", json={"images": [text(png())]}).status_code == 200


def test_a_token_is_wanted_for_answers_not_for_the_page(predictor: Predictor) -> None:
    lines: list[str] = []
    app = application(predictor, token="s" * 16, docs=False, say=lines.append)
    with TestClient(app) as guarded:
        body = {"images": [text(png())]}
        for headers in ({}, {"Authorization": "Bearer " + "t" * 16}, {"Authorization": "s" * 16}):
            reply = guarded.post("/predict", json=body, headers=headers)
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        good = {"Authorization": "Bearer " + "s" * 16}
        assert guarded.post("/predict", json=body, headers=good).status_code == 200
        assert [guarded.get(path).status_code for path in ("/", "/page.js", "/healthz")] == [200] * 3
        assert [guarded.get(path).status_code for path in ("/model", "/metrics", "/docs", "/openapi.json")] == [401] * 4
        assert guarded.get("/docs", headers=good).status_code == 404
    assert [line.split()[2:5] for line in lines[:1]] == [["POST", "/predict", "401"]]
    assert not any("/healthz" in line for line in lines)


def test_the_schema_says_what_is_answered(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    (answer,) = client.post("/predict", json={"images": [text(png())]}).json()["answers"]
    fields = schema["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["answers"]["items"]
    assert set(answer) <= set(fields["properties"])
    page = client.get("/docs").text
    assert "POST /predict" in page
    assert "http" not in page.replace("http-equiv", ""), "nothing comes from elsewhere"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"images": "a"}', "application/json", 400),
        (b'{"images": []}', "application/json", 400),
        (b'{"images": ["", "", "", "", ""]}', "application/json", 400),
        (b'{"images": [' + b"1," * 500_000 + b"1]}", "application/json", 400),
        (b"x" * (2**20 + 1), "application/json", 413),
        (b"abc", "text/plain", 415),
        (b"abc", "multipart/form-data", 400),
        (b"abc", "multipart/form-data; boundary=x", 400),
    ],
)
def test_what_is_refused(client: TestClient, body: bytes, kind: str, status: int) -> None:
    reply = client.post("/predict", content=body, headers={"content-type": kind})
    assert reply.status_code == status
    assert "Traceback" not in reply.text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    kind=st.sampled_from(["application/json", "multipart/form-data; boundary=b", "multipart/form-data; charset=x"]),
    cut=st.integers(0, 400),
)
def test_nonsense_is_never_a_failure_of_the_server(client: TestClient, body: bytes, kind: str, cut: int) -> None:
    assert client.post("/predict", content=body, headers={"content-type": kind}).status_code < 500
    damaged = png()[:cut] + body
    reply = client.post("/predict", json={"images": [text(damaged), text(png())]})
    assert reply.status_code == 200
    assert reply.json()["answers"][1]["error"] == ""


def test_a_full_queue_is_said(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Predictor(predictor.module, predictor.sidecar, batch_size=1)
    answer, going = slow.answer, threading.Event()
    monkeypatch.setattr(slow, "answer", lambda images: (going.wait(20), answer(images))[1])
    with TestClient(application(slow, Limits(waiting=1))) as asked:
        codes: list[int] = []
        asking = [
            threading.Thread(
                target=lambda: codes.append(asked.post("/predict", json={"images": [text(png())]}).status_code)
            )
            for _ in range(6)
        ]
        for one in asking:
            one.start()
        until = time.monotonic() + 10
        while len(codes) < 4 and time.monotonic() < until:
            time.sleep(0.02)
        going.set()
        for one in asking:
            one.join()
    assert sorted(codes)[:1] == [200]
    assert sorted(codes)[-4:] == [429] * 4


def test_health_and_figures(client: TestClient) -> None:
    health = client.get("/healthz").json()
    assert health["ok"] is True
    assert health["healthy_class"] == "no_fracture"
    client.post("/predict", json={"images": [text(png())]})
    assert 'fracture_requests_total{status="200"}' in client.get("/metrics").text


def test_a_table_goes_on_where_it_was_cut(predictor: Predictor, tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    (tmp_path / "bad.png").write_bytes(b"no image")
    paths, out = table.images_of([tmp_path]), tmp_path / "out" / "predictions.csv"
    whole = table.write(predictor, paths, out, lambda *_: None)
    assert (whole.answered, whole.kept, len(whole.bad)) == (5, 0, 1)
    assert whole.said(Path("a.csv")) == "a.csv: 5 rows written, 1 image could not be read"
    first = out.read_text()
    assert first.splitlines()[0] == (
        "path,decision,label,comminuted_fracture,no_fracture,simple_fracture,fracture,fracture_probability,"
        "possible,possible_in_words,refer,reason,error"
    )
    out.write_bytes(out.read_bytes()[:-30])
    again = table.write(predictor, paths, out, lambda *_: None)
    assert (again.answered, again.kept) == (1, 4)
    assert again.said(Path("a.csv")) == "a.csv: 1 row written, 4 kept from before, 1 image could not be read"
    assert [line.split(",")[0] for line in out.read_text().splitlines()] == [
        line.split(",")[0] for line in first.splitlines()
    ]
    out.with_name("predictions.csv.model").write_text("another")
    with pytest.raises(ConfigError, match="not of this model"):
        table.write(predictor, paths, out, lambda *_: None)
    with pytest.raises(DataError, match="no such file"):
        table.images_of([tmp_path / "none"])
    (tmp_path / "list.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"neither an image nor (?s:.*)Save a spreadsheet as CSV"):
        table.images_of([tmp_path / "list.xlsx"])


def test_a_file_that_was_mended_is_asked_again(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "good.jfif").write_bytes(png(1))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    out = tmp_path / "answers.csv"
    first = table.write(predictor, table.images_of([tmp_path]), out, lambda *_: None)
    assert (first.answered, first.kept, len(first.bad)) == (2, 0, 1)
    (tmp_path / "bad.png").write_bytes(png(2))
    paths = [tmp_path / "bad.png", tmp_path / "good.jfif"]
    second = table.write(predictor, paths, out, lambda *_: None)
    assert (second.answered, second.kept, second.bad) == (1, 1, ())
    assert sorted(line.split(",")[0] for line in out.read_text().splitlines()[1:]) == [str(path) for path in paths]


def test_a_request_that_was_given_up_ends_no_thread(predictor: Predictor) -> None:
    batcher = Batcher(4)
    image = predictor.prepare(png())
    assert isinstance(image, Prepared)
    given_up = [batcher.ask(predictor, [image]) for _ in range(3)]
    for one in given_up:
        one.cancel()
    assert batcher.ask(predictor, [image]).result(30)[0].label
    batcher.close()
    assert not batcher.alive


@pytest.fixture
def served(predictor: Predictor, request: pytest.FixtureRequest) -> Any:
    return application(predictor, **{"limits": Limits(seconds=1), **getattr(request, "param", {})})


@pytest.fixture
def address(served: Any) -> Iterator[str]:
    """Where the application is served from, on a free port; a connection that says nothing ends after a second."""
    protocol = type("HeaderTimeout", (HeaderTimeoutProtocol,), {"seconds": 1.0})
    config = uvicorn.Config(served, http=protocol, log_level="warning")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(20)


def port_of(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])


@pytest.mark.parametrize(
    "served", [{"limits": Limits(body=9, seconds=1)}, {"token": "0123456789abcdef"}], indirect=True
)
def test_a_refusal_reaches_who_is_still_sending_and_then_waits_no_longer(address: str) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n"
    for rest in (bytes(2_000_000) + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"x"):
        with socket.create_connection(("127.0.0.1", port_of(address)), timeout=20) as connection:
            connection.sendall(head + bytes(2_000_000))
            assert re.match(rb"HTTP/1.1 4(01|13) ", connection.recv(4096))
            connection.sendall(rest)
            got = b""
            while b" 200 OK" not in got and (part := connection.recv(4096)):
                got += part
            assert (b" 200 OK" in got) == (rest != b"x"), "else closed, without a reset"


def test_half_a_request_ends(address: str) -> None:
    port = port_of(address)
    halves = [
        (b"", b""),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\n", b""),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{", b"408"),
    ]
    for half, expected in halves:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(half)
            assert expected in connection.recv(4096)
            while connection.recv(4096):
                pass


@pytest.mark.slow
def test_the_page_answers_in_a_browser(browser: Any, served: Any, address: str, tmp_path: Path) -> None:
    image = tmp_path / f"{'a_long_name_' * 9}.png"
    image.write_bytes(png(0, 300))
    (tmp_path / "y.txt").write_text("no image")
    browser.get(address)
    browser.find_element("id", "file").send_keys(f"{image}\n{tmp_path / 'y.txt'}")

    def shown(part: str) -> str:
        return str(browser.find_element("id", part).text)

    until = time.monotonic() + 20
    while ("%" not in shown("shares") or "Reading" in shown("images")) and time.monotonic() < until:
        time.sleep(0.1)
    assert shown("shares").count("%") == 3
    assert "A person must look" in shown("decision")
    sizes = browser.execute_script(
        "return ['seen', 'heat'].map(id => document.getElementById(id)).map(one => [one.naturalWidth, one.clientWidth])"
    )
    assert sizes[0] == sizes[1], "the map lies in the frame of the radiograph"
    assert sizes[0][0] == 300
    assert "Not read" in shown("images")
    second = browser.find_elements("css selector", "#images button")[1]
    second.send_keys("\n")
    assert browser.switch_to.active_element.get_attribute("aria-current") == "true", "the keyboard stays in the list"
    assert "y.txt" in shown("name")
    assert "test_resnet" in shown("about")
    browser.find_element("css selector", "#images button").click()
    before = shown("any-words"), shown("name")
    assert "there is no threshold" in before[0]
    assert "answered by test_resnet" in before[1]
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390, "nothing is wider than a phone"
    served.state.service.take(small(1), About(name="bones", version="4"))  # the champion has changed
    browser.find_element("id", "file").send_keys(str(tmp_path / "y.txt"))
    until = time.monotonic() + 20
    while "bones version 4" not in shown("model") and time.monotonic() < until:
        time.sleep(0.1)
    assert "bones version 4" in shown("model"), "the page says which model answers now"
    browser.find_element("css selector", "#images button").click()
    assert (shown("any-words"), shown("name")) == before, "an answer keeps the model that gave it"
    browser.get(f"{address.rstrip('/')}/docs")
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390, "nor is /docs"
