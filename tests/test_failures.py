"""Full disks, forbidden places, too many open files: one sentence with the path, an exit code, nothing half-written."""

import contextlib
import errno
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
import requests
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import OperationalError

from fracture import failures
from fracture.data import cache, demo
from fracture.data.demo import write_demo
from fracture.data.inspection import inspect
from fracture.errors import ConfigError, FractureError, Interrupted
from fracture.failures import explained, require_space
from fracture.files import replacing, write_json
from fracture.runs import states
from fracture.runs.show import Reporter
from fracture.tracking import artifacts, store
from fracture.training import state

MIB = 2**20


def wrapped(error: Exception) -> Exception:
    """As libraries hand an error on."""
    try:
        raise RuntimeError("it could not be done") from error
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("number", "kind", "code", "said"),
    [
        (errno.ENOSPC, OSError, 6, "No space left on device: [0-9,.]+ MiB are free at /"),
        (errno.EDQUOT, OSError, 6, r"(Disk q|Q)uota exceeded\. Free"),
        (errno.EFBIG, OSError, 6, "File too large: .*`ulimit -f`"),
        (errno.EROFS, OSError, 2, "Read-only file system"),
        (errno.EACCES, PermissionError, 2, "Permission denied"),
        (errno.EPERM, PermissionError, 2, "Operation not permitted"),
        (errno.EEXIST, FileExistsError, 2, "exists and is not a folder. Name another"),
        (errno.ENOTDIR, NotADirectoryError, 2, "cannot be used: Not a directory"),
        (errno.EISDIR, IsADirectoryError, 2, "cannot be used: Is a directory"),
        (errno.ELOOP, OSError, 2, "cannot be used: Too many levels"),
        (errno.ENAMETOOLONG, OSError, 2, "cannot be used: File name too long"),
        (errno.EMFILE, OSError, 2, "Too many open files; `ulimit -n"),
        (errno.ENFILE, OSError, 2, "Too many open files in system"),
    ],
)
def test_each_lack_has_a_sentence_with_the_path_and_a_code(
    tmp_path: Path, number: int, kind: type[OSError], code: int, said: str
) -> None:
    path = str(tmp_path / "state.pt")
    for error in (kind(number, os.strerror(number), path), wrapped(kind(number, os.strerror(number), path))):
        found = explained(error)
        assert isinstance(found, FractureError)
        assert found.exit_code == code
        assert "\n" not in str(found)
        with pytest.raises(FractureError, match=f"^{path}: {said}"):
            raise found


@pytest.mark.parametrize(
    "error", [ValueError("wrong"), KeyError("x"), FileNotFoundError(2, "No such file", "a"), OSError("no number")]
)
def test_what_is_our_own_fault_is_not_explained_away(error: Exception) -> None:
    assert explained(error) is None


def test_what_was_said_already_is_not_said_twice() -> None:
    assert explained(wrapped(ConfigError("wrong"))) is None


def test_of_a_disk_that_the_system_does_not_name_the_fullest_is_named(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_disk)
    assert f"are free at {small_disk}." in str(explained(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))


def test_space_is_looked_at_before_it_is_needed(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there", 1, "bytes")
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(Interrupted, match=r"new: weights need [\d,]+ MiB and [\d,]+ MiB are free: [\d,]+ MiB are miss"):
        require_space(tmp_path / "new", free + 100 * MIB, "weights")
    assert not (tmp_path / "new").exists()


def save_weights(path: Path) -> None:
    with replacing(path) as part:
        torch.save({"weights": torch.zeros(2 * MIB)}, part)


@pytest.mark.parametrize("write", [save_weights, lambda path: write_json(path, "x" * 8 * MIB)], ids=["torch", "json"])
def test_a_full_disk_leaves_the_old_file_whole_and_names_it(small_disk: Path, write: Callable[[Path], None]) -> None:
    path = small_disk / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as full:
        write(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in small_disk.iterdir()] == ["file"]
    found = explained(full.value)
    assert isinstance(found, Interrupted)
    assert str(found).startswith(f"{path}: No space left on device: ")


def test_demo_images_name_the_folder_that_has_no_room_for_them(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted, match=f"{small_disk}: demo images need 11 MiB and 6 MiB are free: 5 MiB are miss"):
        write_demo(small_disk / "demo", 200, 0)
    (small_disk / "other").write_bytes(bytes(5 * MIB))
    monkeypatch.setattr(demo, "require_space", lambda *_: None)  # the room goes meanwhile
    with pytest.raises(OSError, match="No space left") as full:
        write_demo(small_disk / "demo", 27, 0)
    assert str(explained(full.value)).startswith(f"{small_disk / 'demo'}: No space left on device: ")
    assert not any(path.is_dir() for path in small_disk.iterdir()), "nothing half done is left"


TRAIN = ("--model", "test_resnet", "--image-size", "32", "--epochs", "2", "--batch-size", "8", "--threads", "1",
         "--weights", "none", "--audit", "off", "--precision", "fp32", "--memory-format", "contiguous")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "full",
    [
        pytest.param("cache", marks=pytest.mark.long),
        pytest.param("state", marks=pytest.mark.long),
        "state in the middle",
        pytest.param("state while it is written", marks=pytest.mark.long),
    ],
)
def test_training_on_a_full_disk_says_so_and_goes_on_afterwards(
    store_root: Path, small_disk: Path, images: Path, full: str, cli: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    filler, ours = small_disk / "filler", small_disk / "ours"
    ours.mkdir()
    with monkeypatch.context() as patch:
        if full == "cache":
            patch.setenv("FRACTURE_CACHE_DIR", str(ours))
        else:
            patch.setattr(states, "state_root", lambda: ours)
        if full in ("cache", "state"):
            filler.write_bytes(bytes(6 * MIB - 8192))
        else:
            patch.setattr(state, "check_space", lambda *_: None)
            fill_after_first_epoch(patch, filler)
        if full == "state while it is written":
            patch.setattr(state, "need", lambda *_: None)
        assert cli("train", "--data", str(images), *TRAIN) == 6
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "Logging error" not in said
    assert f"{ours}/" in said
    assert re.search(r"MiB (are|is) (free|missing)", said)
    resumable = re.search(r"fracture train --resume (\w{32})", said)
    assert bool(resumable) == (full not in ("cache", "state"))
    filler.unlink(missing_ok=True)
    if resumable:
        monkeypatch.setattr(states, "state_root", lambda: ours)
    grow(small_disk)
    again = ("train", "--resume", resumable[1]) if resumable else ("train", "--data", str(images), *TRAIN)
    assert cli(*again) == 0
    assert "Done: report.html" in capsys.readouterr().out


def fill_after_first_epoch(patch: pytest.MonkeyPatch, filler: Path) -> None:
    """Take what is left of the disk once the state of the first epoch is there."""
    real = Reporter.epoch

    def epoch(self: Reporter, number: int, metrics: dict[str, float], best: bool) -> None:
        real(self, number, metrics, best)
        if not filler.exists():
            filler.write_bytes(bytes(shutil.disk_usage(filler.parent).free - 16384))

    patch.setattr(Reporter, "epoch", epoch)


def grow(disk: Path) -> None:
    """Make room on it."""
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """This process may open no further file."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    held = [os.dup(0) for _ in range(highest + 2 - len(os.listdir("/proc/self/fd")))]  # noqa: PTH208 - gaps are filled
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for one in held:
            os.close(one)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files by /proc")
@pytest.mark.parametrize(
    "read",
    [lambda path: cache.open_cache([path], 32, path.parent), lambda path: inspect.open_file(path, b"key", sign=False)],
    ids=["cache", "inspection"],
)
def test_too_few_open_files_are_not_the_images_fault(images: Path, read: Callable[[Path], object]) -> None:
    path = next(images.rglob("*.png"))
    with no_more_files(), pytest.raises(OSError, match="Too many open files") as raised:
        read(path)
    assert isinstance(explained(raised.value), ConfigError)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MlflowException("API request to http://host failed with exception refused"), 6),
        (MlflowException("no database", error_code=TEMPORARILY_UNAVAILABLE), 6),
        (requests.ConnectionError("refused"), 6),
        (OperationalError("SELECT 1", {}, Exception("database or disk is full")), 6),
        (MlflowException("a name with a slash", error_code=INVALID_PARAMETER_VALUE), None),
    ],
)
def test_a_store_that_is_away_is_told_from_one_that_refuses(error: Exception, code: int | None) -> None:
    found = explained(error)
    assert (found.exit_code if found else None) == code


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_files_of_a_run_for_which_there_is_no_room_are_no_failure_of_the_store(
    code: int, store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.connect()
    run_id = mlflow.MlflowClient().create_run("0").info.run_id

    def full(*_: object, **_more: object) -> None:  # as MLflow says it, of many files
        raise MlflowException(f"The following failures occurred:\n##### File a #####\n[Errno {code}] x: 'a'")

    monkeypatch.setattr("mlflow.store.artifact.local_artifact_repo.LocalArtifactRepository.list_artifacts", full)
    with pytest.raises(OSError, match=os.strerror(code)) as told:
        artifacts.fetch(run_id, ["a"], tmp_path)
    assert (told.value.errno, told.value.filename) == (code, str(tmp_path))


def test_a_reason_is_one_line_without_secrets() -> None:
    inner = ValueError("http://user:geheim123@host/api does not answer\nand much more")
    assert failures.sentence(wrapped(inner)) == "http://***@host/api does not answer"
    inner.__context__ = ValueError(())  # as SQLAlchemy's, which says nothing
    assert failures.sentence(inner) == "http://***@host/api does not answer"
