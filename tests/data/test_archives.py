"""Archives: nothing leaves its folder, nothing explodes, and what is left out is named."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from fracture.data.prepare import archives
from fracture.data.prepare.archives import extract
from fracture.errors import DataError


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("make", [lambda p, m: _zip(p / "set.zip", m), lambda p, m: _tar(p / "set.tar.gz", m)])
def test_images_and_tables_are_unpacked_and_nothing_else(tmp_path: Path, make: object) -> None:
    path = make(
        tmp_path, {"A/1.png": b"one", "labels.csv": b"x", "run.exe": b"no", "A/.hidden.png": b"no", "A/2.heic": b"no"}
    )  # type: ignore[operator]
    unpacked = extract(path, tmp_path / "out")
    folder = unpacked.folder
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name[0] != ".")
    assert found == ["A/1.png", "labels.csv"]
    assert [e.path for e in unpacked.excluded] == [f"{path}!A/2.heic"]
    assert unpacked.others == {".exe": 1}
    assert extract(path, tmp_path / "out") == unpacked, "the second time it is there already"
    assert [p.name for p in (tmp_path / "out").iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\evil.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_lead_outside_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    members = {"A/1.png": b"one", name: b"evil"}
    path = _zip(tmp_path / "x.zip", members) if kind == "zip" else _tar(tmp_path / "x.tar", members, "w")
    with pytest.raises(DataError, match="leads outside the folder") as refused:
        extract(path, tmp_path / "out")
    assert refused.value.exit_code == 3
    assert not list(tmp_path.rglob("evil.png"))
    assert list((tmp_path / "out").iterdir()) == [], "nothing of it is kept"


def test_an_archive_that_expands_a_thousandfold_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "bomb.zip", {"A/1.png": bytes(20_000_000)})
    assert path.stat().st_size * 900 < 20_000_000
    with pytest.raises(DataError, match="unpacks to more than 100 times its size"):
        extract(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_sizes_in_headers_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 0)
    path = _tar(tmp_path / "many.tar.xz", {f"A/{i}.png": bytes(100_000) for i in range(20)}, "w:xz")
    with pytest.raises(DataError, match="bomb"):
        extract(path, tmp_path / "out")


def test_links_and_archives_inside_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("A/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        inner = tarfile.TarInfo("A/inner.zip")
        archive.addfile(inner, io.BytesIO(b""))
        real = tarfile.TarInfo("A/1.png")
        real.size = 3
        archive.addfile(real, io.BytesIO(b"one"))
    unpacked = extract(path, tmp_path / "out")
    folder, excluded = unpacked.folder, unpacked.excluded
    assert {e.path.rpartition("!")[2]: e.reason for e in excluded} == {
        "A/link.png": "a link or a device, not a file",
        "A/inner.zip": "an archive in an archive is not unpacked",
    }
    assert extract(path, tmp_path / "out").excluded == excluded
    assert (folder / "A/1.png").read_bytes() == b"one"


def test_names_that_are_too_long_or_twice_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("A/" + "n" * 300 + ".png", "A/1.png", "A/1.png"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"x"))
    excluded = extract(path, tmp_path / "out").excluded
    assert [e.reason for e in excluded] == ["cannot be unpacked: File name too long", "cannot be unpacked: File exists"]


def test_a_member_without_a_name_is_left_out_and_said(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"N": b"x", "A/1.png": b"x"})
    path.write_bytes(path.read_bytes().replace(b"N", b"\0"))
    found = extract(path, tmp_path / "out")
    assert [e.reason for e in found.excluded] == ["cannot be unpacked: File exists"]
    assert (found.folder / "A/1.png").is_file()


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
@pytest.mark.parametrize("data", [b"", b"no archive at all", os.urandom(600)])
def test_broken_archives_are_refused_in_one_sentence(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"cannot be unpacked: "):
        extract(path, tmp_path / "out")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = _tar(tmp_path / "x.tar.gz", {"A/1.png": os.urandom(50_000)})
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")
