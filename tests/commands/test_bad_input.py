"""What people give by mistake: each gets a clear sentence and the right exit code, and nothing crashes."""

import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Build = Callable[[Path, Path], list[str]]
MANY = 100_000


def _write(path: Path, text: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def _zip(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


def _escaping_tar(path: Path) -> str:
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("../evil.png")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"evil"))
    return str(path)


def _many_rows(path: Path) -> str:
    with path.open("w") as file:
        file.write("path,label\n")
        file.writelines(f"images/{i}.png,a\n" for i in range(MANY))
    return str(path)


def _broken(root: Path, images: Path) -> list[str]:
    for i in range(3):
        _write(root / "broken" / "ab"[i % 2] / f"{i}.png", b"\x89PNG\r\n\x1a\n nothing")
    return ["prepare", str(root / "broken")]


PREPARE: dict[str, tuple[Build, int, str]] = {
    "no source": (lambda r, i: ["prepare"], 2, "Give one SOURCE or more"),
    "source and regroup": (lambda r, i: ["prepare", str(i), "--regroup", str(i)], 2, "Give one SOURCE or more"),
    "out is no csv": (lambda r, i: ["prepare", str(i), "--out", "m.txt"], 2, "must end in .csv"),
    "out is a source": (lambda r, i: ["prepare", str(r / "l.csv"), "--out", str(r / "l.csv")], 2, "is a source too"),
    "unknown option": (lambda r, i: ["prepare", str(i), "--splits", "3"], 2, "No such option"),
    "wrong values at once": (
        lambda r, i: ["prepare", str(i), "--val-fraction", "2", "--seed", "x"], 2, "val_fraction=2: .*\nseed=x: ",
    ),
    "wrong expression": (lambda r, i: ["prepare", str(i), "--label-pattern", "(("], 2, r"label_pattern=\(\(: "),
    "expression without a group": (lambda r, i: ["prepare", str(i), "--group-pattern", "p"], 2, "needs a group"),
    "unknown layout": (lambda r, i: ["prepare", str(i), "--layout", "muro"], 2, "must be auto, folders.*mura"),
    "bad label map": (lambda r, i: ["prepare", str(i), "--label-map", "a"], 2, "not of the form OLD=NEW"),
    "one fold": (lambda r, i: ["prepare", str(i), "--folds", "1"], 2, "at least two are needed"),
    "nothing there": (lambda r, i: ["prepare", str(r / "gone")], 3, "gone: does not exist"),
    "two problems at once": (lambda r, i: ["prepare", str(r / "one"), str(r / "two")], 3, "one: does.*\n.*two: does"),
    "an empty folder": (lambda r, i: ["prepare", str(_made(r / "empty"))], 3, "no image files below it"),
    "no images": (lambda r, i: ["prepare", _parent(_write(r / "t" / "a.txt", ""))], 3, r"found 1 \.txt"),
    "a file of another kind": (lambda r, i: ["prepare", _write(r / "a.pdf", "x")], 3, "is no folder, table"),
    "only broken images": (_broken, 3, r"0 usable .*3 x not a readable image"),
    "one class": (lambda r, i: ["prepare", str(i / "no_fracture")], 3, "two are needed"),
    "an archive with ../": (lambda r, i: ["prepare", _zip(r / "x.zip", {"../a.png": b"x"})], 3, "leads outside"),
    "a tar with ../": (lambda r, i: ["prepare", _escaping_tar(r / "x.tar")], 3, "leads outside"),
    "a bomb": (lambda r, i: ["prepare", _zip(r / "x.zip", {"a.png": bytes(20 << 20)})], 3, "more than 100 times"),
    "no archive": (lambda r, i: ["prepare", _write(r / "x.zip", "no zip")], 3, "cannot be unpacked"),
    "an empty csv": (lambda r, i: ["prepare", _write(r / "x.csv", "")], 3, "no column for path and label"),
    "missing columns": (lambda r, i: ["prepare", _write(r / "x.csv", "a,b\n1,2\n")], 3, "found a, b"),
    "columns that are not there": (
        lambda r, i: ["prepare", _write(r / "x.csv", "a,b\n1,2\n"), "--columns", "path=a,label=c"], 3, "'c'.*missing",
    ),
    "no utf-8": (lambda r, i: ["prepare", _write(r / "x.csv", b"path,label\ncaf\xe9.png,a\n")], 3, "is not UTF-8"),
    "binary csv": (lambda r, i: ["prepare", _write(r / "x.csv", bytes(range(256)) * 9)], 3, r"x\.csv: "),
    "a huge field": (lambda r, i: ["prepare", _write(r / "x.csv", 'path,label\n"' + "x" * 200_000)], 3, "field larger"),
    "paths outside": (
        lambda r, i: ["prepare", _write(r / "in" / "x.csv", f"path,label\n../images/a.png,a\n{i}/b.png,b\n")], 3,
        "2 rows none.*lies outside",
    ),
    "a hundred thousand rows": (
        lambda r, i: ["prepare", _many_rows(r / "x.csv")], 3, "of 100,000 rows none.*does not exist",
    ),
    "a table is missing": (
        lambda r, i: ["prepare", _parent(_write(r / "g" / "0001_1297860395_01_WRI-L1_M014.png", "x"))], 3,
        r"dataset\.csv",
    ),
    "too many classes": (
        lambda r, i: ["prepare", _parent(*(_write(r / "many" / str(n) / "1.png", "") for n in range(60)), up=2)], 3,
        "more than 50 classes",
    ),
}  # fmt: skip
AUDIT: dict[str, tuple[Build, int, str]] = {
    "no data": (lambda r, i: ["audit"], 2, "Missing argument"),
    "nothing there": (lambda r, i: ["audit", str(r / "gone")], 3, "does not exist"),
    "a missing manifest": (lambda r, i: ["audit", str(r / "gone.csv")], 3, "cannot be read as CSV"),
    "the home of nobody": (lambda r, i: ["audit", "~nobody-of-that-name/images"], 3, "~nobody-of-that-name/images: "),
    "wrong values": (lambda r, i: ["audit", str(i), "--probe", "maybe"], 2, "probe=maybe: "),
    "a report without an ending": (lambda r, i: ["audit", str(i), "--out", str(r / "a_v1.1")], 2, "must end in .json"),
    "a manifest without columns": (
        lambda r, i: ["audit", _write(r / "x.csv", "a,b\n1,2\n")],
        3,
        "and path missing",
    ),
    "an empty manifest": (lambda r, i: ["audit", _write(r / "x.csv", "path,label\n")], 3, "has no row"),
    "an odd split": (
        lambda r, i: ["audit", _write(r / "x.csv", "path,label,split\na,b,c\n")],
        3,
        "'c' is none of train",
    ),
    "a workbook": (lambda r, i: ["audit", _write(r / "x.xlsx", "PK")], 3, "neither a manifest.*spreadsheet as CSV"),
    "an archive": (lambda r, i: ["audit", _write(r / "x.zip", "PK")], 3, "prepare .*x.zip --out manifest.csv` makes"),
    "a file": (lambda r, i: ["audit", _write(r / "x.png", "x")], 3, "neither a manifest CSV nor a folder"),
}


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _parent(*paths: str, up: int = 1) -> str:
    return str(Path(paths[0]).parents[up - 1])


CASES = [
    *(pytest.param(name, marks=pytest.mark.slow) if name == "a hundred thousand rows" else name for name in PREPARE),
    *(f"audit: {name}" for name in AUDIT),
]


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_gets_a_sentence_and_its_exit_code(
    cli: Callable[..., int], case: str, tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, code, said = AUDIT[case.removeprefix("audit: ")] if case.startswith("audit: ") else PREPARE[case]
    assert cli(*build(tmp_path, images)) == code
    shown = capsys.readouterr().err

    assert re.search(said, shown, re.DOTALL), shown
    assert "Traceback" not in shown
    assert not (tmp_path / "manifest.csv").exists(), "nothing half done is left"
    assert not list(tmp_path.rglob("*.part"))


def test_a_full_preparation_and_audit(
    cli: Callable[..., int], tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("prepare", str(images), "--near-duplicates", "false") == 0
    assert "30 images, 30 groups" in capsys.readouterr().out
    assert cli("audit", "manifest.csv", "--near-duplicates", "false") == 0
    assert "confounded=true" in capsys.readouterr().out, "the classes of this set differ in brightness"
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {
        "manifest.csv", "manifest.excluded.csv", "manifest.json", "audit.json", "audit.html",
    }  # fmt: skip


def test_leakage_ends_with_3_and_names_the_command_that_mends_it(
    cli: Callable[..., int], tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["path,label,split,group"]
    for i, path in enumerate(sorted(images.rglob("*.png"))):
        rows.append(f"{path},{path.parent.name},{('train', 'val', 'test')[i % 3]},g{i // 2}")
    _write(tmp_path / "leaky.csv", "\n".join(rows) + "\n")
    quick = ["--near-duplicates", "false"]
    assert cli("audit", "leaky.csv", *quick) == 3
    said = capsys.readouterr().err
    assert "15 of 15 groups, 30 images, lie in two or more splits" in said
    command = said.strip().splitlines()[-1].removeprefix("To fix it: fracture ")
    assert command == "prepare --regroup leaky.csv --out leaky.regrouped.csv"
    assert cli(*command.split(), *quick) == 0
    assert cli("audit", "leaky.regrouped.csv", *quick) == 0


def test_unreadable_folders(cli: Callable[..., int], tmp_path: Path, images: Path) -> None:
    locked = images / "no_fracture" / "locked"
    locked.mkdir()
    locked.chmod(0)
    try:
        if os.access(locked, os.R_OK):
            pytest.skip("this user may read everything")
        assert cli("prepare", str(images), "--near-duplicates", "false") == 0
        assert "folder cannot be read: Permission denied" in (tmp_path / "manifest.excluded.csv").read_text()
    finally:
        locked.chmod(0o755)
