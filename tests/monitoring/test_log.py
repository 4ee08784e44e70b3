"""The log of answers: three places, what a row holds, and that neither a full disk nor a lost table harms an answer."""

import base64
import csv
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from fracture.data.audit import traits
from fracture.data.images import decode
from fracture.errors import ConfigError, DataError
from fracture.inference.predictor import Answer, Predictor, Seen
from fracture.inference.web import application
from fracture.models import checkpoint
from fracture.monitoring import folder, window
from fracture.monitoring import log as logs
from fracture.monitoring.export import export
from fracture.monitoring.folder import FolderLog
from fracture.monitoring.log import AnswerLog, Policy, check_answers, place_of
from fracture.monitoring.record import Record, make
from fracture.progress import LOG
from tests.data.dicoms import make as dicom
from tests.monitoring.rows import SAID, SERVED, record
from tests.small_model import CLASSES, png, small

KEY = b"k" * 32


@pytest.fixture(scope="module")
def answering() -> Predictor:
    found = small()
    found.watched = True
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if (
        os.name != "posix"
        or not shutil.which("mount")
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("no small file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def asked(
    place: logs.Place, images: list[bytes | None], answering: Predictor, policy: Policy | None = None
) -> AnswerLog:
    log = AnswerLog(place, SERVED, policy or Policy(KEY))
    log.put(images, [answering.predict(one)[0] if one is not None else Answer(error="x") for one in images], 0.25)
    return log


def rows_of(address: str) -> list[Record]:
    place = place_of(address)
    found = list(place.read())
    place.close()
    return found


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    assert true()


def test_every_place_gives_back_what_it_was_given(address: str) -> None:
    rows = [
        record(0, patient="ü'\"\n", traits=(1.5, -2.0)),
        record(1, fracture=None, probabilities={}, confidence=None),
    ]
    place, another = place_of(address, make=True), place_of(address, make=True)
    place.write(rows[:1])
    another.write(rows[1:])
    reader = place_of(address)
    assert sorted(reader.read(), key=lambda row: row.time) == rows  # while both are open for writing
    assert list(reader.read("2026-01-31T12:00:01.000Z")) == rows[1:]
    place.forget("2100-01-01T00:00:00.000Z")
    assert list(reader.read()) == []
    for one in (place, another, reader):
        one.close()


def test_several_servers_share_a_log(address: str) -> None:
    def serve(name: str) -> None:
        place = place_of(address, make=True)
        for number in range(20):
            place.write([replace(record(number), request=f"{name}-{number}-{i}") for i in range(5)])
            if number % 5 == 0:
                place.correct(replace(SAID, image=f"{name}-{number}"))
        place.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(serve, "abcd"))
    reader = place_of(address)
    found = [row.request for row in reader.read()]
    assert len(found) == len(set(found)) == 400
    assert len(list(reader.corrections())) == 16
    reader.close()


def test_a_row_says_what_was_asked_and_answered(answering: Predictor, tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    film = dicom(patient="SMITH-1964", StationName="ROOM 2", Manufacturer="Acme", ManufacturerModelName="X1")
    log = asked(place_of(str(tmp_path), make=True), [png(), film, b"no image", None], answering)
    assert log.close() == ""
    good, of_film, bad, absent = FolderLog(tmp_path, make=False).read()
    (expected,) = answering.predict(png())
    assert expected.seen is not None
    assert good.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    assert (good.decision, good.label, good.model, good.version) == (expected.decision, expected.label, "bones", "3")
    assert good.confidence == max(good.probabilities.values())
    assert good.traits == traits.rounded(traits.measure(png(), decode(png())))
    assert (good.latency, len({row.request for row in (good, of_film, bad, absent)})) == (0.25, 1)
    assert (of_film.station, of_film.device) == ("ROOM 2", "Acme X1")
    assert (bad.error, bad.traits, absent.image, absent.error) == (answering.predict(b"no image")[0].error, (), "", "x")
    assert abs(datetime.fromisoformat(good.time) - datetime.now(UTC)).total_seconds() < 60


def test_patients_are_digests_under_a_key(answering: Predictor, tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    one, other = dicom(patient="SMITH-1964"), dicom(patient="SMITH-1964", StationName="B")
    (answer,) = answering.predict(one)
    rows = [make(SERVED, answer, data, "t", "r", 0.1, key) for data in (one, other) for key in (KEY, b"other")]
    assert rows[0].patient == rows[2].patient != rows[1].patient
    assert rows[0].study == rows[2].study
    assert "SMITH" not in "".join(row.line() for row in rows)
    assert "1.2.3.4" not in rows[0].line()
    assert rows[0].group == rows[2].group


@pytest.mark.parametrize("lost", ["folder", "table"])
def test_a_lost_place_harms_no_answer_and_is_said(lost: str, answering: Predictor, tmp_path: Path) -> None:
    place = tmp_path / "log"
    address = str(place) if lost == "folder" else f"sqlite:///{tmp_path / 'log.db'}"
    log = AnswerLog(place_of(address, make=True), SERVED, Policy(KEY))
    body = {"images": [base64.b64encode(png()).decode()]}
    with TestClient(application(answering, log=log)) as client:
        assert client.post("/predict", json=body).json()["answers"][0]["label"]
        until(lambda: log.health()["written"] == 1)
        if lost == "folder":
            shutil.rmtree(place)
        else:
            with closing(sqlite3.connect(tmp_path / "log.db")) as database:
                database.execute("ALTER TABLE fracture_answers RENAME TO elsewhere")
        assert client.post("/predict", json=body).status_code == 200
        until(lambda: not log.health()["ok"])
        health = client.get("/healthz")
        assert health.status_code == 200
        assert health.json()["ok"]
        assert "No such file" in health.json()["log"]["problem"] or "no such table" in health.json()["log"]["problem"]
        assert ".jsonl" not in health.json()["log"]["problem"], "each try has another file, and it is said once"
        assert "fracture_log_failing 1" in client.get("/metrics").text
        if lost == "folder":
            place.mkdir()
        else:
            with closing(sqlite3.connect(tmp_path / "log.db")) as database:
                database.execute("ALTER TABLE elsewhere RENAME TO fracture_answers")
        until(lambda: log.health()["ok"])
        assert log.health() | {"problem": ""} == {"ok": True, "written": 2, "waiting": 0, "lost": 0, "problem": ""}
        assert "fracture_log_rows_total 2" in client.get("/metrics").text
    assert log.close() == ""


def test_a_full_disk_harms_no_answer_and_leaves_whole_lines(answering: Predictor, small_disk: Path) -> None:
    said: list[str] = []
    log = AnswerLog(FolderLog(small_disk, make=True), SERVED, Policy(KEY), said.append)
    with TestClient(application(answering, log=log)) as client:
        body = {"images": [base64.b64encode(png()).decode()] * 16}
        for _ in range(8):
            assert client.post("/predict", json=body).status_code == 200
        until(lambda: "No space left" in str(client.get("/healthz").json()["log"]["problem"]))
    assert len(said) == 1
    assert said[0].startswith("the log of answers is not written, the answers go on: rows: ")
    missing = log.close()
    assert "No space left on device" in missing
    (file,) = small_disk.iterdir()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == log.health()["written"] < 128
    assert missing.startswith(f"{128 - len(rows)} answers")


def test_what_comes_too_fast_leaves_no_row_and_is_counted(
    answering: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "WAITING_BYTES", 10)
    log = asked(place_of(str(tmp_path), make=True), [png()], answering)
    assert log.health()["lost"] == 1
    assert log.close() == "1 answers are not in the log: too many at once"


def test_a_cut_line_and_a_file_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "LARGEST", 1000)
    place = FolderLog(tmp_path, make=True)
    for number in range(5):
        place.write([record(number)])
    assert len(list(tmp_path.iterdir())) > 1
    with sorted(tmp_path.iterdir())[0].open("a") as file:
        file.write('{"time": "2026-01-31T')
    (tmp_path / "notes.txt").write_text("mine")
    assert sorted(row.request for row in place.read()) == [f"r{number}" for number in range(5)]
    place.forget("2100-01-01T00:00:00.000Z")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    place.close()


def test_images_are_kept_only_where_asked_and_go_with_the_days(answering: Predictor, tmp_path: Path) -> None:
    old = tmp_path / "images" / "ab" / "abc.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    os.utime(old, (0, 0))
    policy = Policy(KEY, days=30, images=tmp_path / "images")
    log = asked(place_of(str(tmp_path / "log"), make=True), [png(), b"no image", png()], answering, policy)
    until(lambda: not old.exists())
    log.close()
    rows = list(FolderLog(tmp_path / "log", make=False).read())
    assert [bool(row.kept) for row in rows] == [True, False, True]
    assert (tmp_path / "images" / rows[0].kept).read_bytes() == png()
    (kept,) = (tmp_path / "images").rglob("*.*")
    assert kept.suffix == ".png"
    os.utime(kept, (0, 0))
    asked(place_of(str(tmp_path / "log"), make=True), [png()], answering, policy).close()
    assert kept.stat().st_mtime > time.time() - 60, "what came again is kept as long as its new row"


def test_predict_logs_and_export_brings_it_out(
    cli: Callable[..., int], answering: Predictor, tmp_path: Path, store_root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    pth = tmp_path / "best.pth"
    checkpoint.save(pth, answering.module.state_dict(), answering.sidecar)
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = [str(tmp_path / name) for name in ("0.png", "1.png", "2.png", "bad.png")]
    assert cli("predict", str(pth), *images, "--log", "answers", "--log-key", str(tmp_path / "key")) == 0
    assert (tmp_path / "key").stat().st_mode & 0o77 == 0
    reader = place_of("answers")
    reader.correct(replace(SAID, image=hashlib.sha256(png(1)).hexdigest(), label="simple_fracture"))
    assert cli("log", "export", "answers", "--format", "csv", "--out", "a.csv") == 0
    assert cli("log", "export", "answers", "--out", "a.parquet") == 0
    with Path("a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    import pandas as pd

    frame = pd.read_parquet("a.parquet")
    assert len(rows) == len(frame) == 4
    assert {f"probability_{name}" for name in CLASSES} <= set(frame.columns) == set(rows[0])
    assert frame["trait_log2_width"].tolist()[:3] == [float(row["trait_log2_width"]) for row in rows[:3]]
    assert frame["corrected"].tolist() == [row["corrected"] for row in rows] == ["", "simple_fracture", "", ""]
    assert frame["corrected_by"].tolist()[1] == SAID.by
    assert frame["refer"].tolist() == [row["refer"] == "True" for row in rows]
    assert cli("log", "export", "answers", "--out", "a.csv") == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert cli("predict", str(pth), images[0], "--out", "b.csv", "--keep-days", "3") == 2
    assert "need --log" in capsys.readouterr().err
    assert cli("log", "export", "answers", "--since", "2100-01-01", "--out", "c.csv") == 3
    assert not Path("c.csv").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://u:secretpw@h/d", "Allowed: a folder, sqlite"),
        ("nothing://", "Allowed: a folder"),
        ("sqlite://", "Allowed: a folder"),
        ("sqlite:///:memory:", "Allowed: a folder"),
        ("postgresql://u:secretpw/x@127.0.0.1:1/d", "password holds a blank or one of"),
        ("sqlite:////nowhere/at/all.db", "does not answer as a log: unable to open database file"),
        ("file.txt", "file.txt: File exists; name a folder"),
        ("postgresql://u:secretpw@127.0.0.1:1/d", "does not answer as a log"),
    ],
)
def test_places_that_cannot_be_used_are_refused_at_once(address: str, said: str) -> None:
    Path("file.txt").write_text("")
    with pytest.raises(ConfigError, match=said) as refused:
        place_of(address, make=True)
    assert "secretpw" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", "nowhere: there is no such folder; name the one that --log"),
        ("file.txt", "file.txt: is a file, and no folder of a log"),
        ("sqlite:///empty.db", "no such file"),
    ],
)
def test_what_is_no_log_is_not_read_as_an_empty_one(address: str, said: str) -> None:
    Path("file.txt").write_text("")
    with pytest.raises(ConfigError, match=said):
        place_of(address)
    assert [path.name for path in Path().iterdir()] == ["file.txt"]


def test_a_log_without_an_answer_is_told_from_one_of_another_time(address: str) -> None:
    place = place_of(address, make=True)
    for since in ("", "2026-01-01T00:00:00.000Z"):
        with pytest.raises(DataError, match=r"has no answer at all\nCheck the name"):
            check_answers(address, place, since)
    place.write([record()])
    check_answers(address, place, "")
    with pytest.raises(DataError, match="has no answer since 2100"):
        check_answers(address, place, "2100-01-01T00:00:00.000Z")
    place.close()


def test_a_span_of_time() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert window.begin("36h", now) == "2026-01-30T00:00:00.000Z"
    assert window.begin("30d", now) == "2026-01-01T12:00:00.000Z"
    assert window.begin("2026-01-31", now) == "2026-01-31T00:00:00.000Z"
    assert window.begin("2026-01-31T12:00:00+02:00") == "2026-01-31T10:00:00.000Z"
    assert window.begin("all") == window.begin(" ALL ") == ""
    assert window.begin("36H", now) == window.begin("36 h", now) == "2026-01-30T00:00:00.000Z"
    assert window.begin("99999w", now) < "2026", "text sorts as time, in the first centuries too"
    for wrong in ("", "30", "d30", "yesterday", "3 days", "-3d", "1.5d", "31.01.2026", "2026-13-01", "30m"):
        with pytest.raises(ConfigError, match="Allowed"):
            window.begin(wrong, now)


ODD = {"error": "a\0b\nc \udcff", "reason": "\ud800", "seen": Seen((1.0, float("inf")), float("nan"))}


@pytest.mark.parametrize("values", [{key: value} for key, value in ODD.items()], ids=list(ODD))
def test_nothing_odd_keeps_rows_from_a_place(values: dict[str, Any], address: str) -> None:
    """One row that a place can never take would hold up all that come after it."""
    place = place_of(address, make=True)
    log = AnswerLog(place, replace(SERVED, name="bones \udcff"), Policy(KEY))
    log.put([png()] * 2, [Answer(**values), Answer(label="a")], 0.25)
    assert log.close() == ""
    odd, plain = rows_of(address)
    assert (odd.error, odd.traits, odd.distance) == ("a\\x00b c \\xff" if "error" in values else "", (), None)
    assert plain.label == "a"


def test_who_can_wait_has_stored_each_answer_before_going_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(FolderLog):
        def write(self, rows: Sequence[Record]) -> None:
            time.sleep(0.05)
            super().write(rows)

    monkeypatch.setattr(logs, "_LAST_TRY", 0.1)
    monkeypatch.setattr(logs, "make", lambda *values: time.sleep(0.05) or make(*values))
    patient, hasty = (AnswerLog(Slow(tmp_path / name, make=True), SERVED, Policy(KEY)) for name in "ab")
    for number in range(1, 11):
        patient.store([None], [Answer(error="x")], 0.1)
        assert len(list(FolderLog(tmp_path / "a", make=False).read())) == number
        hasty.put([None], [Answer(error="x")], 0.1)
    hasty.put([None] * 30, [Answer(error="x")] * 30, 0.1)
    assert hasty.close().endswith("are not in the log: it takes them too slowly"), "what waits is missing too"
    assert patient.close() == ""


def test_who_can_wait_does_not_wait_for_a_place_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = FolderLog(tmp_path / "log", make=True)
    tries: list[int] = []

    def full(rows: Sequence[Record]) -> None:
        tries.append(len(rows))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place, "write", full)
    log = AnswerLog(place, SERVED, Policy(KEY))
    for _ in range(5):
        log.store([None], [Answer(error="x")], 0.1)
    assert len(tries) < 5, "each batch does not try anew"
    assert log.close().startswith("5 answers are not in the log: rows: ")


def test_images_that_are_not_kept_are_counted_and_said_once(
    answering: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOG, "propagate", True)
    (tmp_path / "file").write_text("")
    images = [png(number) for number in range(3)]
    log = asked(place_of(str(tmp_path / "log"), make=True), images, answering, Policy(KEY, images=tmp_path / "file"))
    assert log.close().startswith("3 images are not kept: images: ")
    assert len({one.getMessage() for one in caplog.records}) == 1


def test_a_log_on_a_medium_that_is_read_only_is_read(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    place = place_of(f"sqlite:///{small_disk}/a ?%.db", make=True)
    place.write([record(0)])
    place.correct(SAID)
    place.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    reader = place_of(f"sqlite:///{small_disk}/a ?%.db")
    assert (list(reader.read()), list(reader.corrections())) == ([record(0)], [SAID])
    reader.close()
    with pytest.raises(ConfigError, match="does not answer as a log"):
        place_of(f"sqlite:///{small_disk}/a ?%.db", make=True)


def test_logs_of_another_version_are_read_and_moved_on(address: str) -> None:
    place = place_of(address, make=True)
    place.write([record(0, kept="a.png")])
    place.close()
    if "://" not in address:
        (file,) = Path(address).iterdir()
        row = json.loads(file.read_text())
        lines = [{key: row[key] for key in row if key not in ("kept", "v", "traits")}, row | {"later": 1},
                 row | {"time": 5}, row | {"probabilities": None}, 5]  # fmt: skip
        file.write_bytes("\n".join(map(json.dumps, lines)).encode() + b'\n\0\0\n\xff\n{"time": "2026')
        assert [one.kept for one in rows_of(address)] == ["", "a.png"]
        return
    engine = sa.create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    for column in ("kept", "v", "traits"):
        with engine.begin() as link:
            link.execute(sa.text(f"ALTER TABLE fracture_answers DROP COLUMN {column}"))
    engine.dispose()
    assert [(one.kept, one.traits) for one in rows_of(address)] == [("", ())]
    place = place_of(address, make=True)
    place.write([record(1, kept="b.png", traits=(1.0,))])
    assert [(one.kept, one.traits) for one in rows_of(address)] == [("", ()), ("b.png", (1.0,))]
    place.close()
    with engine.begin() as link:
        link.execute(sa.text("ALTER TABLE fracture_answers DROP COLUMN weights"))
    engine.dispose()
    with pytest.raises(ConfigError, match="has no column weights"):
        place_of(address, make=True)


def test_what_is_deleted_meanwhile_ends_no_reader(tmp_path: Path) -> None:
    for _ in range(2):
        FolderLog(tmp_path, make=True).write([record(0)])
    reader = FolderLog(tmp_path, make=False).read()
    next(reader)
    for file in tmp_path.iterdir():
        file.unlink()
    assert list(reader) == []


def test_no_cell_of_an_export_is_a_formula(tmp_path: Path) -> None:
    said = {"a": replace(SAID, by='=HYPERLINK("http://x")', label="+1")}
    export([record(0, image="a", station="@SUM(A1)", error="-1\n2")], (), tmp_path / "a.csv", "csv", said)
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["station"], row["error"], row["corrected"]) == ("'@SUM(A1)", "'-1\n2", "'+1")
    assert row["corrected_by"] == '\'=HYPERLINK("http://x")'


def test_answers_are_said_without_what_the_log_keeps(answering: Predictor) -> None:
    (answer,) = answering.predict(png())
    assert answer.seen is not None
    assert "seen" not in answer.said()
    unwatched = Predictor(answering.module, answering.sidecar)
    assert unwatched.predict(png())[0].seen is None
