"""A full disk under predict with a registered model, whose files MLflow brings: said with the path, gone on with."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

CHAMPION = "models:/fracture-classifier@champion"
VERBS: dict[str, tuple[tuple[str, ...], str]] = {  # the command, and which place is full
    "predict by folder": (("predict", CHAMPION, "images", "--by", "folder", "--out", "{disk}/answers.csv"), "out"),
    "predict, temporary folder": (("predict", CHAMPION, "images", "--out", "new.csv"), "temporary"),
}


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_on_a_full_disk(
    old: Path, verb: str, small_disk: Path, cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words, place = VERBS[verb]
    if place == "temporary":
        monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    filled = [word.format(disk=small_disk) for word in words]
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    code, said = cli(*filled), capsys.readouterr().err
    assert code == 6, said
    assert str(small_disk) in said
    assert "No space left on device: 0.0 MiB are free" in said
    assert "Traceback" not in said
    assert [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size] == [filler]
    filler.unlink()
    assert cli(*filled) in (0, 3), capsys.readouterr().err  # 3: an audit that finds something
