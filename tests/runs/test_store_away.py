"""The tracking server goes away while a run is trained: nothing is lost, and everything is told once."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from fracture.errors import Interrupted
from fracture.evidence import ARTIFACTS
from fracture.runs import resume, session, states
from fracture.runs.session import Session
from fracture.runs.show import Reporter
from fracture.tracking import experiment, outbox
from tests import postgres
from tests.mlflow_server import Server, as_store
from tests.runs.small import config, said, terminal

pytestmark = pytest.mark.slow
EPOCHS = 4


def at_epoch(patch: pytest.MonkeyPatch, events: "dict[int, object]") -> None:
    """Have things happen before the store is told of an epoch."""
    real = Reporter.epoch

    def epoch(self: Reporter, number: int, metrics: dict[str, float], best: bool) -> None:
        if number in events:
            events[number]()  # type: ignore[operator]
        real(self, number, metrics, best)

    patch.setattr(Reporter, "epoch", epoch)


def newest() -> str:
    client = mlflow.MlflowClient()
    return client.search_runs([experiment.current()], order_by=["attributes.start_time DESC"], max_results=1)[
        0
    ].info.run_id


def check_complete(run_id: str, epochs: int = EPOCHS) -> None:
    """Everything that a run leaves is there, and no point of any metric twice."""
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run_id, "val/loss")
    assert [point.step for point in sorted(history, key=lambda p: p.timestamp)] == [*range(1, epochs + 1)], "in order"
    for metric in run.data.metrics:
        if not metric.startswith("system/"):
            steps = Counter(point.step for point in client.get_metric_history(run_id, metric))
            assert set(steps.values()) == {1}, metric
    sometimes = {
        "uncommitted.diff",
        "audit.json",
        "audit.html",
        "predictions_out_of_fold.csv",
        "label_review.csv",
        "heads.npz",
    }
    assert set(ARTIFACTS) - sometimes <= {item.path for item in client.list_artifacts(run_id)}
    assert {one.tags[0].value for one in run.inputs.dataset_inputs} == {"train", "val", "test"}
    assert not {"fracture.reason", "fracture.state"} & run.data.tags.keys()
    assert not states.state_folder(run_id).exists()


def test_a_server_that_comes_back_is_told_everything_once_and_in_order(
    server: Server, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_epoch(monkeypatch, {2: server.end, 4: server.start})
    screen = terminal()
    session.train(config(images, epochs=EPOCHS), Session(screen, None, "again {run}"))
    check_complete(newest())
    assert "The tracking store does not accept data" in said(screen)
    assert "The tracking store answers again: " in said(screen)
    assert said(screen).count("tracking store") == 2, "once each"


@pytest.mark.long
def test_a_server_that_is_killed_and_comes_back_is_told_everything_once(
    server: Server, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_epoch(monkeypatch, {2: server.kill, 3: server.start, 4: server.kill})
    with pytest.raises(Interrupted, match="The run is over"):
        session.train(config(images, epochs=EPOCHS), Session(terminal(), None, "again {run}"))
    server.start()
    resume.resume(run_id := newest(), Session(terminal(), None, "again {run}"))
    check_complete(run_id)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[postgres.Postgres]:
    """A PostgreSQL behind the server that is the store of this test."""
    (tmp_path / "server").mkdir()
    with postgres.running() as database:
        server = Server(tmp_path / "server", postgres.new_database(database.url))
        with as_store(server, monkeypatch):
            yield database
        server.end()


@pytest.mark.long
def test_a_database_behind_the_server_that_comes_back_is_told_everything_once(
    database: postgres.Postgres, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal()
    at_epoch(monkeypatch, {2: database.end, 4: database.start})
    session.train(config(images, epochs=EPOCHS), Session(screen, None, "again {run}"))
    check_complete(newest())
    assert said(screen).count("tracking store") == 2, "once each"


@pytest.mark.long
def test_a_database_gone_for_good_leaves_all_on_disk_and_one_command(
    database: postgres.Postgres, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_epoch(patch, {3: database.end})
        with pytest.raises(Interrupted, match=r"(?s)The run is over.*\n  again \w{32}$") as stop:
            session.train(config(images, epochs=EPOCHS), Session(terminal(), None, "again {run}"))
    assert "Traceback" not in str(stop.value)
    database.start()
    resume.resume(run_id := newest(), Session(terminal(), None, "again {run}"))
    check_complete(run_id)


def test_a_server_gone_for_good_leaves_all_on_disk_and_one_command(
    server: Server, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over: list[float] = []
    at_epoch(monkeypatch, {3: server.end, 4: lambda: over.append(time.monotonic())})
    with pytest.raises(Interrupted, match=r"(?s)The run is over.*send them with:.*\n  again \w{32}$") as stop:
        session.train(config(images, epochs=EPOCHS), Session(terminal(), None, "again {run}"))
    assert time.monotonic() - over[0] < 60
    assert mlflow.active_run() is None, "nothing is left to be ended, wrongly, with the process"
    run_id = str(stop.value).split()[-1]
    folder = states.state_folder(run_id)
    assert {"best.pth", "results.json", "report.html", outbox.NAME} <= {path.name for path in folder.iterdir()}
    shutil.rmtree(images)  # nothing is decoded, trained or judged again
    server.start()
    digest = json.loads((folder / "results.json").read_text())["weights_sha256"]
    assert resume.resume(run_id, Session(terminal(), None, "again {run}")).weights_sha256 == digest
    check_complete(run_id)


def test_artifacts_that_the_server_cannot_store_wait(
    server: Server, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, aside = server.folder / "artifacts", server.folder / "aside"
    place.mkdir(exist_ok=True)
    place.rename(aside)
    place.touch()  # a file where the folder of artifacts should be
    try:
        with pytest.raises(Interrupted, match="The run is over") as stop:
            session.train(config(images, epochs=EPOCHS), Session(terminal(), None, "again {run}"))
    finally:  # whose server other tests use too
        place.unlink()
        aside.rename(place)
    run_id = str(stop.value).split()[-1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    assert mlflow.get_run(run_id).info.status != "FINISHED"
    resume.resume(run_id, Session(terminal(), None, "again {run}"))
    check_complete(run_id)


def test_a_run_stopped_while_the_server_is_away_goes_on(
    server: Server, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        raise Interrupted("stopped by the test")

    with monkeypatch.context() as patch:
        at_epoch(patch, {2: server.end, 3: stop})
        with pytest.raises(Interrupted, match=r"Go on with:\n  again"):
            session.train(config(images, epochs=EPOCHS), Session(terminal(), None, "again {run}"))
    server.start()
    run_id = newest()
    resume.resume(run_id, Session(terminal(), None, "again {run}"))
    check_complete(run_id)
