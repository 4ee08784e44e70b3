"""What readers say of answers: taken by the server, kept with who said it, counted by feedback and drift."""

import csv
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fracture.data.audit.traits import NAMES
from fracture.evidence.verdict import Rule
from fracture.inference.about import About
from fracture.inference.predictor import Predictor
from fracture.inference.web import application
from fracture.monitoring.checks import of_corrections
from fracture.monitoring.correction import Correction, latest
from fracture.monitoring.feedback import CORRECTED, RANDOM, choose
from fracture.monitoring.folder import FolderLog
from fracture.monitoring.log import AnswerLog, Place, Policy, place_of
from fracture.monitoring.reference import build, write
from tests.monitoring.rows import SAID, SERVED, record
from tests.small_model import CLASSES, png, small

TOKEN = "s" * 16


@pytest.fixture(scope="module")
def answering() -> Predictor:
    found = small()
    found.watched = True
    return found


@pytest.fixture
def place(address: str) -> Iterator[Place]:
    made = place_of(address, make=True)
    yield made
    made.close()


ABOUT = About(name="bones", version="3")


@pytest.fixture
def asked(place: Place, answering: Predictor) -> Iterator[TestClient]:
    log = AnswerLog(place, SERVED, Policy(b"k" * 32))
    with TestClient(application(answering, about=ABOUT, log=log, token=TOKEN), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client
    log.close()


def answer(client: TestClient, seed: int = 0) -> dict[str, Any]:
    reply = client.post("/predict", files=[("files", ("x.png", png(seed)))])
    return dict(reply.json()["answers"][0])


def test_every_place_gives_corrections_back_and_forgets_them(place: Place, address: str) -> None:
    later = replace(SAID, time="2026-02-01T00:00:00.000Z", label="simple_fracture")
    place.write([record(0)])
    for one in (SAID, later):
        place.correct(one)
    reader = place_of(address)
    assert list(reader.read()) == [record(0)], "no answer is made up by it"
    assert list(reader.corrections()) == [SAID, later]
    assert list(reader.corrections("2026-02-01")) == [later]
    assert latest([later, SAID]) == {"a" * 64: later}, "the last word counts"
    place.forget("2100-01-01T00:00:00.000Z")
    assert list(reader.corrections()) == []
    reader.close()


def test_a_log_from_before_there_were_corrections_has_none(tmp_path: Path) -> None:
    import sqlalchemy as sa

    address = f"sqlite:///{tmp_path / 'log.db'}"
    place_of(address, make=True).close()
    with sa.create_engine(address).begin() as link:
        link.execute(sa.text("DROP TABLE fracture_corrections"))
    reader = place_of(address)
    assert list(reader.corrections()) == []
    reader.close()
    writer = place_of(address, make=True)
    writer.correct(SAID)
    assert list(writer.corrections()) == [SAID]
    writer.close()


def test_what_a_reader_says_is_in_the_log_with_who_said_it(
    asked: TestClient, place: Place, answering: Predictor
) -> None:
    found = answer(asked)
    assert found["sha256"] == hashlib.sha256(png()).hexdigest()
    assert asked.get("/model").json()["feedback"] is True
    said = {"sha256": found["sha256"], "label": "no_fracture", "by": "  A. Reader "}
    reply = asked.post("/feedback", json=said)
    assert (reply.status_code, reply.json()) == (200, {"kept": True, **said, "by": "A. Reader"})
    (kept,) = place.corrections()
    assert (kept.image, kept.label, kept.by) == (said["sha256"], "no_fracture", "A. Reader")
    assert (kept.model, kept.version, kept.weights) == ("bones", "3", answering.sidecar.weights_sha256)


def test_the_second_reader_is_told_what_the_first_one_said(asked: TestClient, place: Place) -> None:
    first = {"sha256": answer(asked)["sha256"], "label": "no_fracture", "by": "A. Reader"}
    stored = {"sha256": first["sha256"]}
    assert asked.get("/feedback", params=stored).json() == {}
    assert "replaces" not in asked.post("/feedback", json=first).json()
    found = asked.get("/feedback", params=stored).json()
    assert {**stored, **found} == first | {"time": next(iter(place.corrections())).time}
    second = asked.post("/feedback", json=first | {"label": "simple_fracture", "by": "B. Other"})
    assert second.json()["replaces"] == found
    assert asked.get("/feedback", params=stored).json()["by"] == "B. Other", "the last word counts"
    assert asked.get("/feedback", params=stored, headers={"Authorization": "Bearer x"}).status_code == 401


def test_an_answer_is_corrected_in_the_classes_of_the_model_that_gave_it(
    asked: TestClient, place: Place, answering: Predictor
) -> None:
    old = answer(asked)["sha256"]
    sidecar = answering.sidecar.model_copy(update={"classes": ["a", "b", "c"], "weights_sha256": "f" * 64})
    asked.app.state.service.take(Predictor(answering.module, sidecar), replace(ABOUT, version="4"))  # type: ignore[attr-defined]
    said = {"sha256": old, "label": "no_fracture", "by": "me"}
    assert asked.post("/feedback", json=said).status_code == 200
    unknown = asked.post("/feedback", json=said | {"sha256": "b" * 64})
    assert (unknown.status_code, unknown.json()["detail"]) == (400, "label: one of a, b, c")
    assert [(one.version, one.weights) for one in place.corrections()] == [("3", answering.sidecar.weights_sha256)]


GOOD = {"sha256": "a" * 64, "label": "no_fracture", "by": "me"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (GOOD | {"sha256": "a" * 63}, 400, "sha256: the one that came with the answer"),
        (GOOD | {"label": "no fracture"}, 400, f"label: one of {', '.join(CLASSES)}"),
        (GOOD | {"by": "  "}, 400, "by: who says so"),
        (GOOD | {"by": "x" * 101}, 400, "by: who says so"),
        (GOOD | {"by": "a\nb"}, 400, "by: who says so"),
        (GOOD | {"sha256": "", "label": "", "by": ""}, 400, "sha256: the one"),
        (GOOD | {"more": "x"}, 400, "wanted are the texts"),
        (GOOD | {"by": 3}, 400, "wanted are the texts"),
        ({"sha256": "a" * 64}, 400, "wanted are the texts"),
        ([], 400, "wanted are the texts"),
        (GOOD | {"by": "x" * 5000}, 413, "more than 4,096 bytes"),
    ],
)
def test_what_is_no_correction_is_refused_and_not_kept(
    asked: TestClient, place: Place, body: object, status: int, words: str
) -> None:
    reply = asked.post("/feedback", json=body)
    assert (reply.status_code, words in reply.json()["detail"]) == (status, True), reply.text
    assert list(place.corrections()) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_nonsense_is_no_failure_of_the_server(asked: TestClient, body: bytes) -> None:
    assert asked.post("/feedback", content=body, headers={"content-type": "application/json"}).status_code == 400


def test_who_may_correct_is_who_may_ask(asked: TestClient, place: Place) -> None:
    assert asked.post("/feedback", json=GOOD, headers={"Authorization": "Bearer " + "t" * 16}).status_code == 401
    plain = asked.post("/feedback", content=json.dumps(GOOD), headers={"content-type": "text/plain"})
    assert plain.status_code == 415, "which a page of another site could send"
    assert list(place.corrections()) == []


def test_without_a_log_nothing_is_taken(answering: Predictor) -> None:
    with TestClient(application(answering)) as client:
        assert client.get("/model").json()["feedback"] is False
        assert "sha256" not in answer(client)
        reply = client.post("/feedback", json=GOOD)
    assert (reply.status_code, "fracture serve --log" in reply.json()["detail"]) == (404, True)


def test_what_cannot_be_kept_is_said(asked: TestClient, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_one: Correction) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place, "correct", full)
    monkeypatch.setattr(place, "corrections", full)
    assert asked.get("/feedback", params={"sha256": GOOD["sha256"]}).json() == {}
    reply = asked.post("/feedback", json=GOOD)
    assert reply.status_code == 503
    assert "No space left" in reply.json()["detail"] or "full" in reply.json()["detail"]
    assert answer(asked)["error"] == "", "answers go on"


def test_the_schema_says_how_to_correct(asked: TestClient) -> None:
    body = asked.get("/openapi.json").json()["paths"]["/feedback"]["post"]["requestBody"]
    assert set(body["content"]["application/json"]["schema"]["required"]) == set(GOOD)
    assert "POST /feedback" in asked.get("/docs").text


def test_what_was_corrected_is_always_looked_at() -> None:
    rows = [record(i) for i in range(300)]
    wrong = [rows[i].image for i in (7, 250, 299)]
    choices = {one.row.image: one.reasons for one in choose(rows, None, 10, corrected=[*wrong, "f" * 64])}
    assert all(CORRECTED in choices[image] for image in wrong)
    drawn = {image for image, reasons in choices.items() if RANDOM in reasons}
    assert drawn == {one.row.image for one in choose(rows, None, 10) if RANDOM in one.reasons}, "the draw is the same"


def test_corrections_are_no_drift_whatever_they_say() -> None:
    rows = [record(i) for i in range(20)]
    said = {rows[i].image: replace(SAID, image=rows[i].image, label=CLASSES[i % 3]) for i in range(9)}
    found = of_corrections(rows, said)
    assert found.status == "ok"
    assert "they looked at 9 images and corrected 6" in found.sentence
    assert of_corrections(rows, {}).status == "unknown"


def test_feedback_and_drift_count_corrections(
    cli: Callable[..., int], store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(60, len(NAMES))).tolist()
    rule = Rule(CLASSES, "no_fracture", 0.5, 0.5)
    write(build(rule, "w" * 64, "made up", rng.dirichlet(np.ones(3), 60), range(60), seen), tmp_path)
    log = FolderLog(tmp_path / "log", make=True)
    log.write([record(i, version="") for i in range(12)])
    for i, label in enumerate((*CLASSES, "unheard_of")):
        log.correct(replace(SAID, image=record(i).image, label=label))
    log.correct(replace(SAID, image="f" * 64))  # no answer of this log
    common = ["--against", "reference.json", "--since", "all"]
    assert cli("drift", "log", *common) == 5, "made-up answers are all of one class"
    capsys.readouterr()
    (found,) = [
        one for one in json.loads(Path("drift/drift.json").read_text())["checks"] if one["name"] == "corrections"
    ]
    assert found["sentence"].startswith("they looked at 3 images and corrected 2")
    assert cli("feedback", "log", *common, "--count", "4") == 0
    assert "Labels that readers gave on the page: " in " ".join(capsys.readouterr().out.split())
    with Path("review.csv").open(newline="") as file:
        labels = {row["sha256"]: (row["label"], row["reason"]) for row in csv.DictReader(file)}
    for i in (0, 1):
        assert labels[record(i).image][0] == CLASSES[i]
        assert CORRECTED in labels[record(i).image][1]
    assert cli("feedback", "log", *common, "--count", "24", "--out", "all.csv") == 0
    with Path("all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with Path("filled.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        known = record(5).image
        writer.writerows(row | {"label": row["model_says"] if row["sha256"] == known else ""} for row in rows)
    assert cli("feedback", "log", *common, "--corrected", "filled.csv") == 0
    run = mlflow.search_runs(filter_string="tags.`fracture.kind` = 'feedback'", output_format="list")[0]
    assert run.data.metrics["in_use_accuracy"] == pytest.approx(2 / 4), "one by the file, three by the log"
    assert run.data.params["reviewed"] == "4"


@pytest.mark.long
def test_a_reader_corrects_an_answer_in_a_browser(browser: Any, answering: Predictor, tmp_path: Path) -> None:
    place = place_of(str(tmp_path / "log"), make=True)
    log = AnswerLog(place, SERVED, Policy(b"k" * 32))
    server = uvicorn.Server(uvicorn.Config(application(answering, log=log), log_level="warning"))
    (tmp_path / "film.png").write_bytes(png(0, 300))

    def until(true: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not true() and time.monotonic() < end:
            time.sleep(0.1)
        assert true(), browser.find_element("tag name", "body").text

    def text(part: str) -> str:
        return str(browser.find_element("id", part).text)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        browser.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        browser.find_element("id", "file").send_keys(str(tmp_path / "film.png"))
        until(lambda: browser.find_element("id", "correct").is_displayed())
        browser.find_element("css selector", "#correct button").click()
        assert list(place.corrections()) == [], "nothing is chosen yet"
        browser.find_element("css selector", "#truth option[value=no_fracture]").click()
        browser.find_element("id", "by").send_keys("A. Reader")
        browser.find_element("css selector", "#correct button").click()
        until(lambda: text("kept") == "Saved: no fracture.")
        (kept,) = place.corrections()
        assert (kept.image, kept.label, kept.by) == (
            hashlib.sha256(png(0, 300)).hexdigest(), "no_fracture", "A. Reader",
        )  # fmt: skip
        browser.refresh()
        until(lambda: "Really: no fracture" in text("images"))
        assert "Pictures are not kept" in text("nothing")
        assert text("kept") == "Saved: no fracture."
        assert browser.find_element("id", "by").get_property("value") == "A. Reader"
        place.correct(replace(kept, time="2100-01-01T00:00:00.000Z", label="simple_fracture", by="B. Other"))
        browser.refresh()
        until(lambda: "Stored already: B. Other, 2100-01-01: simple fracture. What you save" in text("earlier"))
        server.should_exit = True
        thread.join(20)
        browser.find_element("css selector", "#truth option[value=simple_fracture]").click()
        browser.find_element("css selector", "#correct button").click()
        until(lambda: "Not saved: the server does not answer." in text("kept"))
    log.close()
