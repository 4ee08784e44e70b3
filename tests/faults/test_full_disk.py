"""A disk that is full below an archive, an audit or the cache: nothing half-written, and the command goes on later."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.models import checkpoint
from tests.small_model import small

COMMANDS = {  # what writes to the full disk, and what it writes
    "audit": ("audit", "images", "--out", "disk/audit.json"),
    "cache": ("evaluate", "model/best.pth", "--data", "images", "--cache-dir", "disk", "--threads", "1"),
    "prepare, unpacking": ("prepare", "images.zip", "--out", "disk/made.csv"),
}
LONG = {"audit", "cache"}


@pytest.mark.parametrize("what", [pytest.param(n, marks=pytest.mark.long if n in LONG else ()) for n in COMMANDS])
def test_a_full_disk_is_said_in_a_sentence_and_the_command_goes_on_afterwards(
    tmp_path: Path, small_disk: Path, store_root: Path, images: Path, what: str, cli: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    predictor = small()
    checkpoint.save(tmp_path / "model" / "best.pth", predictor.module.state_dict(), predictor.sidecar)
    shutil.make_archive(str(tmp_path / "images"), "zip", images.parent, "images")
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(shutil.disk_usage(small_disk).free))
    code = cli(*COMMANDS[what])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    left = [entry for entry in small_disk.rglob("*") if entry.is_file() and entry.suffix != ".lock"]
    assert left == [filler], "nothing half-written"
    assert code == 6, said
    assert re.search(r"disk\S*: ", said)
    assert re.search(r"MiB are (free|missing)", said)
    filler.unlink()
    assert cli(*COMMANDS[what]) == 0
    assert not list(tmp_path.rglob("*.part"))
