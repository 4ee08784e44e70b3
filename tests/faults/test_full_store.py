"""A store that is full below train, promote and export: one sentence, exit code 6, and the same command goes on."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest

from fracture.runs import delivery, states
from fracture.runs.show import Reporter
from fracture.tracking import store
from registry import promote as promotion
from registry.versions import Registry
from tests.mlflow_server import Server
from tests.registry.conftest import use
from tests.runs.small import train
from tests.runs.test_store_away import check_complete

pytestmark = [pytest.mark.slow, pytest.mark.long]
FULL = ("artifacts", "artifacts behind a server", "SQLite")
NAME = "fracture-classifier"
TRAIN = ("--model", "test_resnet", "--image-size", "32", "--epochs", "2", "--batch-size", "8", "--threads", "1",
         "--weights", "none", "--audit", "off", "--precision", "fp32", "--memory-format", "contiguous")  # fmt: skip
PROMOTE = ("--thresholds", "demo", "--waive", "audit,confounded", "--reason", "a test", "--by", "a test")


@dataclass(frozen=True)
class Disk:
    """A small file system that a part of the store lies on."""

    folder: Path

    def fill(self) -> None:
        (self.folder / "filler").write_bytes(bytes(shutil.disk_usage(self.folder).free))

    def free(self) -> None:
        (self.folder / "filler").unlink()


@pytest.fixture(params=FULL)
def disk(
    request: pytest.FixtureRequest, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Disk]:
    """The disk of a part of the store that this process is connected to."""
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    (tmp_path / "MLproject").touch()
    server = None
    if request.param == "artifacts behind a server":
        (tmp_path / "server").mkdir()
        server = Server(tmp_path / "server", artifacts=small_disk)
    folder = small_disk if request.param == "SQLite" else tmp_path
    address = server.address if server else f"sqlite:///{folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(delivery, "PATIENCE", 2.0)
    use(address)
    store.connect()
    if request.param == "artifacts":
        mlflow.create_experiment("elsewhere", artifact_location=(small_disk / "artifacts").as_uri())
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    yield Disk(small_disk)
    use(None)
    if server:
        server.end()


def check_sentence(said: str) -> None:
    assert "Traceback" not in said
    assert "exit code 6" in said
    assert re.search(r"No space left on device|no space left|the tracking store", said)


def test_train(
    disk: Disk, images: Path, cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    real = Reporter.epoch

    def epoch(self: Reporter, number: int, metrics: dict[str, float], best: bool) -> None:
        if number == 2:
            disk.fill()
        real(self, number, metrics, best)

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "epoch", epoch)
        assert cli("train", "--data", str(images), *TRAIN) == 6
    check_sentence(said := capsys.readouterr().err)
    (run_id,) = re.findall(r"fracture train --resume (\w{32})", said)
    assert (states.state_root() / run_id / "report.html").is_file()
    disk.free()
    assert cli("train", "--resume", run_id) == 0
    check_complete(run_id, 2)


@pytest.mark.parametrize("moment", ["from the beginning", "once the gates have passed"])
def test_promote_and_export(
    disk: Disk, images: Path, moment: str, entry: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run_id, real = train(images), promotion.enter
    if moment == "from the beginning":
        disk.fill()
    with monkeypatch.context() as patch:
        if moment != "from the beginning":
            patch.setattr(promotion, "enter", lambda *given: (disk.fill(), real(*given)))
        assert entry("registry", "promote", run_id, *PROMOTE) == 6
    check_sentence(capsys.readouterr().err)
    assert not Registry(NAME).look().real, "no alias was moved"
    disk.free()
    assert entry("registry", "promote", run_id, *PROMOTE) == 0
    assert Registry(NAME).look().real == {"candidate": "1"}
    assert entry("registry", "verify") == 0
    disk.fill()
    export, out = ("registry", "export", "--format", "pt2", "--model", "@candidate", "--out"), disk.folder / "out"
    assert entry(*export, "exported") == 0, "it writes to the store nothing"
    assert entry(*export, str(out)) == 6
    check_sentence(capsys.readouterr().err)
    assert not [path for path in out.rglob("*") if path.is_file()], "nothing half-written"
