"""`fracture prepare --corrections`: labels looked at again replace those before, and both are kept."""

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fracture.data.manifest import Manifest, read_csv
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.corrections import BEFORE
from fracture.data.prepare.prepare import prepare, write
from fracture.errors import ConfigError, DataError

A, B = "comminuted_fracture", "no_fracture"


@pytest.fixture
def folder(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    return make_images(tmp_path / "images", per_class=8)


def table(path: Path, rows: Sequence[Sequence[str]], names: Sequence[str] = ("path", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def prepared(source: Path, corrections: Path | str, out: Path, regroup: bool = False) -> Manifest:
    config = PrepareConfig(corrections=str(corrections), near_duplicates=False, workers=1)
    write(prepare([source], config, out, regroup=regroup), out, config)
    return read_csv(out)


def label_of(manifest: Manifest, name: str) -> tuple[str, str]:
    row = next(row for row in manifest.rows if row.path.as_posix().endswith(name))
    return row.label, row.extra.get(BEFORE, "")


@pytest.mark.parametrize("form", ["end", "whole", "dotted", "windows", "name"])
def test_an_image_is_found_by_its_path_in_any_form(form: str, folder: Path, tmp_path: Path) -> None:
    only = folder / A / "only.png"
    (folder / A / "000.png").rename(only)
    path = {
        "end": f"{A}/only.png", "whole": str(only), "dotted": f"./images/{A}/only.png", "windows": f"{A}\\only.png",
        "name": "only.png",
    }[form]  # fmt: skip
    manifest = prepared(folder, table(tmp_path / "fix.csv", [[path, B]]), tmp_path / "m.csv")
    assert label_of(manifest, "only.png") == (B, A)
    assert sum(bool(row.extra[BEFORE]) for row in manifest.rows) == 1


def test_the_digest_names_an_image_whatever_its_path(folder: Path, tmp_path: Path) -> None:
    before = prepared(folder, "", tmp_path / "m.csv")
    row = next(row for row in before.rows if row.label == A)
    fix = table(tmp_path / "fix.csv", [["moved/away.png", B, row.sha256]], ("path", "label", "sha256"))
    assert label_of(prepared(folder, fix, tmp_path / "n.csv"), row.path.as_posix()) == (B, A)


def test_copies_get_the_same_label(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / A / "001.png", folder / A / "copy.png")
    manifest = prepared(folder, table(tmp_path / "fix.csv", [[f"{A}/001.png", B]]), tmp_path / "m.csv")
    assert len(manifest.rows) == 24
    assert label_of(manifest, f"{A}/001.png") == (B, A)


def test_a_correction_settles_copies_under_two_labels(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / A / "001.png", folder / B / "copy.png")
    assert len(prepared(folder, "", tmp_path / "m.csv").rows) == 23
    manifest = prepared(folder, table(tmp_path / "fix.csv", [[f"{B}/copy.png", B]]), tmp_path / "n.csv")
    assert len(manifest.rows) == 24


def test_rows_that_change_nothing_leave_no_trace(folder: Path, tmp_path: Path) -> None:
    manifest = prepared(folder, table(tmp_path / "fix.csv", [[f"{A}/001.png", A]]), tmp_path / "m.csv")
    assert all(BEFORE not in row.extra for row in manifest.rows)


def test_the_first_label_is_kept_over_several_corrections(folder: Path, tmp_path: Path) -> None:
    first = prepared(folder, table(tmp_path / "fix.csv", [[f"{A}/001.png", B]]), tmp_path / "m.csv")
    assert label_of(first, f"{A}/001.png") == (B, A)
    fix = table(tmp_path / "fix2.csv", [[f"{A}/001.png", "simple_fracture"]])
    second = prepared(tmp_path / "m.csv", fix, tmp_path / "again.csv", regroup=True)
    assert label_of(second, f"{A}/001.png") == ("simple_fracture", A)


WRONG = {
    "no such image": ([["nowhere.png", B]], r"fix\.csv:2: nowhere\.png is no image"),
    "several images": ([["003.png", B]], r"fix\.csv:2: 003\.png is more than one image"),
    "a part of a name": ([["ly.png", B]], r"ly\.png is no image"),
    "a class that nobody has": (
        [[f"{A}/001.png", "no_fractur"]],
        r"no image has the class 'no_fractur'\. Near",
    ),
    "no class": ([[f"{A}/001.png", ""]], r"no image has the class ''"),
    "a dot": ([[".", B]], r"fix\.csv:2: \. is no image"),
    "no path": ([["", B]], r"an empty path is no image"),
    "two corrections": ([[f"{A}/001.png", B], [f"images/{A}/001.png", A]], rf":3: \S+ is corrected to {B} and to {A}"),
}


@pytest.mark.parametrize(("rows", "words"), WRONG.values(), ids=WRONG)
def test_wrong_rows_are_refused_by_line(rows: list[list[str]], words: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        prepared(folder, table(tmp_path / "fix.csv", rows), tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_every_wrong_row_is_told_at_once(folder: Path, tmp_path: Path) -> None:
    fix = table(tmp_path / "fix.csv", [[f"{i}.jpg", B] for i in range(30)])
    with pytest.raises(DataError, match=r"0\.jpg is no image(.|\n)*19\.jpg is no image\n.*and 10 more"):
        prepared(folder, fix, tmp_path / "m.csv")


def test_a_missing_file_and_a_missing_column(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"corrections=gone\.csv: no such file"):
        prepared(folder, "gone.csv", tmp_path / "m.csv")
    with pytest.raises(DataError, match="column label missing, found path, class"):
        prepared(folder, table(tmp_path / "fix.csv", [["a", "b"]], ("path", "class")), tmp_path / "m.csv")
