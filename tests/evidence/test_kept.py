"""Files of a run that somebody has damaged or deleted where artifacts are kept."""

from pathlib import Path

import pytest

from fracture.errors import ConfigError, DataError
from fracture.evaluation import predictions
from fracture.evidence import Results, read_kept


@pytest.mark.parametrize("text", [None, "", "{", "null", "{}"])
def test_damaged_results_are_told_with_the_run(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(ConfigError, match=r"^run abc: (its|has no) results\.json.*name another run"):
        read_kept(Results, tmp_path / "results.json", "abc")


@pytest.mark.parametrize("text", ["", "path,", "label,logit_a,group,path,sha256\na,0.5,,,\na\n"])
def test_damaged_predictions_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match="cannot be read as predictions"):
        predictions.read(tmp_path / "p.csv")
