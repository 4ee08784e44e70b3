"""A table of answers whose first line could not be written is no table: the same command begins it again."""

import csv
from pathlib import Path

import pytest

from fracture.inference import table


def test_a_header_that_could_not_be_written_leaves_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def writerow(self, _row: list[str]) -> None:
            raise OSError(28, "No space left on device")

    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        patch.setattr(csv, "writer", lambda _file: Full())
        with pytest.raises(OSError, match="No space left"):
            table.begin(out, ["path"], "weights")
    assert not out.exists()
    assert table.begin(out, ["path"], "weights") == set()
    assert out.read_text() == "path\n"
