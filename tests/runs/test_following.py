"""A champion that is changed in a real registry under a server that answers."""

import json
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
import uvicorn

from fracture.inference.about import About, served
from fracture.inference.request import Limits
from fracture.inference.web import application
from fracture.monitoring.log import place_of
from fracture.runs import answer_log, answering, following
from tests.registry import champions
from tests.registry.screens import quiet
from tests.small_model import CLASSES, png, small

pytestmark = pytest.mark.slow
CHAMPION = f"models:/{champions.NAME}@champion"
BODY = json.dumps({"images": [b64encode(png()).decode()]}).encode()


@pytest.fixture
def versions(store_root: Path, tmp_path: Path) -> dict[str, str]:
    """Digest of the weights of each version; the first is the champion, the last has weights of another model."""
    found = {}
    for seed in range(3):
        predictor = small(seed, image_size=32 + 32 * (seed % 2))
        if seed == 2:
            predictor.sidecar = predictor.sidecar.model_copy(update={"weights_sha256": "f" * 64})
        found[champions.register(tmp_path / str(seed), predictor)] = predictor.sidecar.weights_sha256
    champions.point(next(iter(found)))
    return found


@contextmanager
def serving(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Serve the champion as `fracture serve --follow --log` does; the address."""
    predictor, about = answering.served(CHAMPION, folder)
    terminal = quiet()
    terminal.say = terminal.warn = say  # type: ignore[method-assign, assignment]
    with answer_log.open_log(
        str(folder / "answers"), predictor, served(about, predictor.sidecar), terminal, None, None, None
    ) as log:
        app = application(predictor, Limits(), about, log=log)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        with following.follow(CHAMPION, about, app.state.service, terminal, 0.1):
            thread.start()
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            server.should_exit = True
            thread.join(20)


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=20) as reply:
        return json.load(reply)


def correct(address: str) -> None:
    """Say what an image really is."""
    said = json.dumps({"sha256": "a" * 64, "label": CLASSES[0], "by": "a reader"}).encode()
    request = urllib.request.Request(f"{address}/feedback", said, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        assert reply.status == 200


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_changed_champion_is_taken_up_without_a_lost_request(versions: dict[str, str], tmp_path: Path) -> None:
    first, second, broken = versions
    replies: list[dict[str, Any]] = []
    said: list[str] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def client() -> None:
        request = urllib.request.Request(f"{address}/predict", BODY, {"content-type": "application/json"})
        try:
            while not done.is_set():
                with urllib.request.urlopen(request, timeout=20) as reply:
                    replies.append(json.load(reply))
        except OSError as error:
            failed.append(error)

    def answered_by(version: str) -> bool:
        return any(reply["version"] == version for reply in replies[-4:])

    with serving(tmp_path, said.append) as address:
        clients = [threading.Thread(target=client) for _ in range(4)]
        for one in clients:
            one.start()
        until(lambda: answered_by(first))
        for version in (second, first, second):
            champions.point(version)
            until(lambda version=version: get(f"{address}/healthz")["version"] == version)  # type: ignore[misc]
            until(lambda version=version: answered_by(version))  # type: ignore[misc]
            assert get(f"{address}/healthz")["weights_sha256"] == versions[version]
            assert get(f"{address}/model")["version"] == version
        correct(address)
        champions.point(broken)
        until(lambda: not get(f"{address}/healthz")["follow"]["ok"])
        health = get(f"{address}/healthz")
        assert (health["version"], health["ok"], health["follow"]["alias"]) == (second, True, CHAMPION)
        why = f"version {broken} now, which cannot be loaded: models:/bones/{broken}: the weights are not those"
        assert why in health["follow"]["problem"]
        time.sleep(0.8)  # it is tried again meanwhile
        mlflow.MlflowClient().delete_registered_model_alias(champions.NAME, "champion")
        until(lambda: "cannot be looked up" in get(f"{address}/healthz")["follow"]["problem"])
        champions.point(second)
        until(lambda: get(f"{address}/healthz")["follow"]["ok"])
        with urllib.request.urlopen(f"{address}/metrics") as page:
            metrics = page.read().decode()
        done.set()
        for one in clients:
            one.join(20)
    assert failed == []
    assert {reply["version"] for reply in replies} == {first, second}
    assert all(reply["weights_sha256"] == versions[reply["version"]] for reply in replies)
    rows = list(place_of(str(tmp_path / "answers")).read())
    assert [row.weights for row in rows] == [versions[row.version] for row in rows]
    assert len(rows) == len(replies)
    assert [one.weights for one in place_of(str(tmp_path / "answers")).corrections()] == [versions[second]]
    changes = [line for line in said if "answers from now on" in line]
    assert [line.split(" (")[0] for line in changes] == [f"bones version {v}" for v in (second, first, second)]
    assert sum("goes on answering" in line for line in said) == 2, "a trouble is said once"
    assert sum("followed again" in line for line in said) == 1, "and its end"
    assert "fracture_model_changes_total 3.0" in metrics
    assert f'fracture_model{{model="bones",version="{second}",weights="{versions[second][:12]}"}} 1.0' in metrics


def test_a_registry_that_does_not_answer_is_told_while_it_is_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    going = threading.Event()
    monkeypatch.setattr(following.query, "version_at", lambda _alias: going.wait(20))
    monkeypatch.setattr(following, "_LATE", 0.2)
    service: Any = None  # not called
    follower = following.Follower(CHAMPION, About(version="1"), service, quiet(), 0.01)
    assert follower.health()["ok"]
    until(lambda: not follower.health()["ok"])
    assert "the registry has not answered for" in str(follower.health()["problem"])
    going.set()
    follower.close()


@pytest.mark.parametrize("target", ["best.pth", "models:/bones/1", "models:/m-123", "0" * 32])
def test_only_an_alias_can_be_followed(
    cli: Callable[..., int], target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("serve", target, "--follow", "--port=0") == 2
    assert "follow one: models:/NAME@champion" in capsys.readouterr().err
