"""What waits for the store: written down whole, told in order, and harmless when it is told twice."""

import json
from pathlib import Path

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

from fracture.tracking import outbox, writes
from fracture.tracking.outbox import NAME, Outbox, only_delivery_is_left, read
from fracture.tracking.run import TrackedRun
from fracture.tracking.writes import Write

DATASET = {"name": "bones", "digest": "ab", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}
WRITES: tuple[Write, ...] = (
    {"what": "metrics", "values": {"val_loss": 0.5, "val_accuracy": 0.25}, "step": 1, "time": 1_700_000_000_000},
    {"what": "params", "values": {"lr": "0.1"}},
    {"what": "tags", "values": {"fracture.model": "resnet"}},
    {"what": "input", "dataset": DATASET, "split": "test"},
    {"what": "evidence", "names": ["results.json", "figures", "not there"]},
    {"what": "end", "status": "FAILED", "reason": "why"},
)


@pytest.fixture
def run_id(store_root: Path) -> str:
    return str(mlflow.MlflowClient().create_run("0").info.run_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").write_bytes(b"picture")
    return tmp_path


def state_of(run_id: str) -> object:
    """All that the store holds of a run, but when it ended."""
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    history = {m: [(p.step, p.value, p.timestamp) for p in client.get_metric_history(run_id, m)] for m in
               run.data.metrics}  # fmt: skip
    files = sorted(item.path for place in ("", "figures") for item in client.list_artifacts(run_id, place))
    inputs = [one.to_dictionary() for one in run.inputs.dataset_inputs]
    return history, run.data.params, run.data.tags, inputs, files, run.info.status


@pytest.mark.parametrize("write", WRITES, ids=lambda write: str(write["what"]))
def test_a_write_whose_answer_was_lost_may_be_done_again(run_id: str, folder: Path, write: Write) -> None:
    before = state_of(run_id)
    writes.do(run_id, folder, write)
    once = state_of(run_id)
    assert once != before
    writes.do(run_id, folder, write)
    assert state_of(run_id) == once


def test_every_kind_of_write_is_tried_here() -> None:
    assert {write["what"] for write in WRITES} == writes.WRITES.keys()


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("API request failed"),
        requests.ConnectionError("refused"),
        OSError(28, "No space left on device"),
    ],
    ids=["server", "network", "disk of the artifacts"],
)
def test_what_follows_a_write_that_failed_waits_too_and_all_arrives_in_order(
    run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    said: list[str] = []
    told: list[Write] = []
    away = True

    def tell(_: str, __: Path, write: Write) -> None:
        if away:
            raise error
        told.append(write)

    monkeypatch.setattr(writes, "do", tell)
    box = Outbox(run_id, folder, said.append)
    for write in WRITES[:-1]:
        box.put(write)
    assert box.waiting == WRITES[:-1]
    assert [json.loads(line) for line in (folder / NAME).read_text().splitlines()] == list(WRITES[:-1])
    assert not box.deliver()
    away = False
    after = Outbox(run_id, folder, said.append)  # as another process would
    assert after.deliver()
    assert told == list(WRITES[:-1])
    assert not (folder / NAME).exists()
    assert len(said) == 1, "once, however often it fails"


def test_an_error_of_our_own_is_not_kept(run_id: str, folder: Path) -> None:
    with pytest.raises(TypeError):
        Outbox(run_id, folder).put({"what": "tags", "wrong": 1})


def test_without_a_folder_a_write_fails_at_once(store_root: Path) -> None:
    with pytest.raises(MlflowException):
        TrackedRun("0" * 32).tag({"a": "b"})


def test_that_a_run_was_interrupted_is_no_news_once_it_goes_on(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    for status, kept in (("KILLED", False), ("FAILED", False), ("FINISHED", True)):
        lines = [{"what": "tags", "values": {}}, {"what": "end", "status": status, "reason": ""}]
        (tmp_path / NAME).write_text("\n".join(map(json.dumps, lines)))
        assert len(read(tmp_path)) == 1 + kept
        assert only_delivery_is_left(tmp_path) == kept


def test_one_attempt_in_between_is_enough(run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Write] = []

    def fail(_: str, __: Path, write: Write) -> None:
        attempts.append(write)
        raise MlflowException("away")

    monkeypatch.setattr(writes, "do", fail)
    box = Outbox(run_id, folder, lambda _: None)
    for write in WRITES[:3]:
        box.put(write)
    assert attempts == [WRITES[0]]
    assert outbox._EVERY >= 5
