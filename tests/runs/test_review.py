"""Labels that may be wrong, from a run to its file, its report, `fracture audit RUN` and back into `prepare`."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.data.manifest import read_csv
from fracture.tracking.artifacts import fetch
from tests.runs import small

WRONG = ("simple_fracture/003.png", "no_fracture/005.png")  # bright images among comminuted ones, which are dark


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mislabelled")


@pytest.fixture(scope="module")
def run(mislabelled: Path) -> dict[str, str]:
    return {}


def trained(folder: Path, make_images: Callable[..., Path], known: dict[str, str]) -> str:
    """A run with a linear probe on brightness that tells the class, two labels of which are wrong."""
    if "id" not in known:
        data = make_images(folder / "images", 24)
        for name in WRONG:
            (data / name).rename(data / "comminuted_fracture" / f"wrong{Path(name).name}")
        known["id"] = small.train(data, head="probe", epochs=1, trained="head", class_weights="balanced")
    return known["id"]


def test_a_run_ranks_its_labels(
    mislabelled: Path, make_images: Callable[..., Path], run: dict[str, str], store_root: Path, tmp_path: Path
) -> None:
    name = trained(mislabelled, make_images, run)
    page, listed = fetch(name, ["report.html", "label_review.csv"], tmp_path)
    rows = list(csv.DictReader(listed.read_text().splitlines()))
    seen = {row["path"] for row in rows if row["split"] in ("train", "val")}
    assert len(rows) == len(seen)
    assert "Labels that may be wrong" in page.read_text()
    assert "prepare SOURCE --corrections" in page.read_text()
    wrong = [i for i, row in enumerate(rows) if "wrong" in row["path"]]
    assert all(i < len(rows) / 4 for i in wrong)


def test_audit_of_a_run_and_the_way_back(
    cli: Callable[..., int], mislabelled: Path, make_images: Callable[..., Path], run: dict[str, str], store_root: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    name = trained(mislabelled, make_images, run)
    out = tmp_path / "again.csv"
    assert cli("audit", name, "--out", str(out)) == 0
    assert out.with_suffix(".png").is_file()
    said = " ".join(capsys.readouterr().out.split())
    assert "ranked by the probability of their own label" in said
    assert cli("audit", name, "--out", str(out)) == 2, "it may hold corrections"
    rows = list(csv.DictReader(out.read_text().splitlines()))
    rows[0]["label"] = "simple_fracture"
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    fixed = tmp_path / "fixed.csv"
    given = ("--near-duplicates", "false", "--out", str(fixed), "--corrections", str(out))
    assert cli("prepare", str(mislabelled / "images"), *given) == 0
    changed = [row for row in read_csv(fixed).rows if row.extra["label_before"]]
    assert [row.label for row in changed] == ["simple_fracture"]
    assert changed[0].path.as_posix().endswith(rows[0]["path"])


def test_chance_is_said_and_nothing_written(
    cli: Callable[..., int], make_images: Callable[..., Path], store_root: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = make_images(tmp_path / "images", 8)
    for name in ("000", "001", "002", "003"):  # half of each class is of the next one
        files = [data / label / f"{name}.png" for label in ("comminuted_fracture", "no_fracture", "simple_fracture")]
        for here, there in zip(files, files[1:] + files[:1], strict=True):
            shutil.move(here, there.with_suffix(".tmp"))
        for place in files:
            place.with_suffix(".tmp").rename(place)
    run = small.train(data, epochs=1, recipe="seed")
    assert cli("audit", run, "--out", str(tmp_path / "r.csv")) == 0
    assert "no better than chance" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "r.csv").exists()


def test_no_such_run(cli: Callable[..., int], store_root: Path) -> None:
    assert cli("audit", "0" * 32) == 2
