"""The cache: built once, found again, built anew when damaged, shared by processes, and honest about bad files."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fracture.data import cache
from fracture.data.cache import UnreadableImagesError, clear, default_folder, open_cache, usage
from fracture.data.images import decode, letterbox
from fracture.data.inspection.inspect import open_file
from fracture.data.inspection.store import InspectionStore
from fracture.failures import explained

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(images: Path) -> list[Path]:
    return sorted(images.rglob("*.png"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def test_it_holds_what_decoding_gives(files: list[Path], folder: Path) -> None:
    held = open_cache(files, 48, folder)
    assert (held.pixels.dtype, held.pixels.shape) == (np.uint8, (30, 48, 48))
    for path, place, digest in zip(files, held.position, held.sha256, strict=True):
        np.testing.assert_array_equal(held.pixels[place], letterbox(decode(path.read_bytes()), 48))
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_built_once(files: list[Path], folder: Path) -> None:
    assert [open_cache(files, 48, folder).built for _ in range(2)] == [True, False]


def test_order_names_and_places_of_files_do_not_matter(files: list[Path], folder: Path, tmp_path: Path) -> None:
    first = open_cache(files, 48, folder)
    copies = []
    for i, path in enumerate(reversed(files)):
        copies.append(tmp_path / f"copy{i}.png")
        copies[-1].write_bytes(path.read_bytes())
    second = open_cache(copies, 48, folder)
    assert (second.built, second.folder) == (False, first.folder)
    assert second.position.tolist() == first.position.tolist()[::-1]


def test_sizes_and_contents_are_kept_apart(files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {open_cache(files, 48, folder).folder, open_cache(files, 32, folder).folder}
    places.add(open_cache(files[1:], 48, folder).folder)
    monkeypatch.setattr(cache, "PREPROCESSING_VERSION", 999)
    places.add(open_cache(files, 48, folder).folder)
    assert len(places) == 4


def test_equal_files_are_decoded_once(files: list[Path], folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.png"
    twin.write_bytes(files[3].read_bytes())
    held = open_cache([*files, twin], 48, folder)
    assert len(held.pixels) == 30
    assert held.position[-1] == held.position[3]


def test_no_file_at_all(folder: Path) -> None:
    assert open_cache([], 48, folder).pixels.shape == (0, 48, 48)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-50] ^= 255
    path.write_bytes(bytes(data))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "array cut": lambda entry: cut(entry / "images.npy"),
    "array changed": lambda entry: flip(entry / "images.npy"),
    "array gone": lambda entry: (entry / "images.npy").unlink(),
    "index gone": lambda entry: (entry / "index.json").unlink(),
    "index cut": lambda entry: (entry / "index.json").write_text('{"sha256": "ab'),
    "index of something else": lambda entry: (entry / "index.json").write_text("[1, 2]"),
    "index without digest": lambda entry: (entry / "index.json").write_text('{"shape": [30, 48, 48]}'),
    "index no text": lambda entry: (entry / "index.json").write_bytes(b"\xff\xfe"),
    "index of another shape": lambda entry: (entry / "index.json").write_text(
        json.dumps(json.loads((entry / "index.json").read_text()) | {"shape": [30, 32, 32]})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_entries_are_built_anew(damage: Callable[[Path], object], files: list[Path], folder: Path) -> None:
    first = open_cache(files, 48, folder)
    pixels = np.array(first.pixels)
    entry = first.folder
    del first
    damage(entry)
    second = open_cache(files, 48, folder)
    assert second.built
    np.testing.assert_array_equal(second.pixels, pixels)
    assert not open_cache(files, 48, folder).built


def test_what_a_killed_process_left_is_removed(files: list[Path], folder: Path) -> None:
    entry = open_cache(files, 48, folder).folder
    left = entry.with_name(f"{entry.name}.abcd.part")
    entry.rename(left)
    assert open_cache(files, 48, folder).built
    assert not left.exists()


def test_unreadable_files_are_all_named(files: list[Path], folder: Path) -> None:
    bad = [files[2], files[11], files[25]]
    bad[0].write_bytes(b"no image")
    bad[1].write_bytes(b"")
    bad[2].write_bytes(b"")  # the same content as the one before
    with pytest.raises(UnreadableImagesError) as caught:
        open_cache(files, 48, folder)
    assert caught.value.reasons.keys() == set(bad)
    assert "not a readable image" in caught.value.reasons[bad[0]]
    assert {caught.value.reasons[path] for path in bad[1:]} == {"the file is empty"}
    assert "3 unreadable images" in str(caught.value)
    assert [path for path in folder.rglob("*") if path.is_dir()] == [folder / "images"]


def test_missing_files_are_all_named(files: list[Path], folder: Path, tmp_path: Path) -> None:
    files[4].unlink()
    with pytest.raises(UnreadableImagesError) as caught:
        open_cache([*files, tmp_path], 48, folder)
    assert caught.value.reasons.keys() == {files[4], tmp_path}
    assert caught.value.reasons[files[4]] == "No such file or directory"


def test_after_mending_the_file_it_works(files: list[Path], folder: Path) -> None:
    good = files[0].read_bytes()
    files[0].write_bytes(b"no image")
    with pytest.raises(UnreadableImagesError):
        open_cache(files, 48, folder)
    files[0].write_bytes(good)
    assert open_cache(files, 48, folder).built


def test_progress_is_told(files: list[Path], folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    open_cache(files, 48, folder, lambda *what: told.append(what))
    assert told == [("reading", i, 30) for i in range(1, 31)] + [("decoding", i, 30) for i in range(1, 31)]


BUILDER = """
import hashlib, sys, time
from pathlib import Path
from fracture.data import cache
root, folder, name = map(Path, sys.argv[1:])
name.touch()
while not all((name.parent / other).exists() for other in ("one.ready", "two.ready")):
    time.sleep(0.005)
held = cache.open_cache(sorted(root.rglob("*.png")), 48, folder)
print(held.built, hashlib.sha256(held.pixels.tobytes()).hexdigest())
"""


def test_two_processes_build_it_once(images: Path, folder: Path, tmp_path: Path) -> None:
    commands = [
        [sys.executable, "-c", BUILDER, str(images), str(folder), str(tmp_path / f"{name}.ready")]
        for name in ("one", "two")
    ]
    running = [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.PIPE, text=True) for c in commands]
    outputs = [process.communicate(timeout=60)[0].split() for process in running]
    assert sorted(built for built, _ in outputs) == ["False", "True"]
    assert len({digest for _, digest in outputs}) == 1
    assert not list(folder.rglob("*.part"))


def test_usage_and_clearing(files: list[Path], folder: Path) -> None:
    assert usage(folder) == (0, 0)
    assert clear(folder) == 0
    open_cache(files, 48, folder)
    count, size = usage(folder)
    assert count >= 2
    assert size > 30 * 48 * 48
    assert clear(folder) == size
    assert not folder.exists()
    assert open_cache(files, 48, folder).built


def test_what_is_cleared_meanwhile_is_built_again(
    files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = np.load, []

    def load(path: Path, **named: Any) -> Any:
        calls.append(path)
        if len(calls) == 1:
            clear(folder)
        return real(path, **named)

    monkeypatch.setattr(np, "load", load)
    assert len(open_cache(files, 48, folder).pixels) == 30
    assert len(calls) == 2


def test_inspections_that_are_cleared_meanwhile_are_lost_only(files: list[Path], folder: Path) -> None:
    found = open_file(files[0], b"key", sign=False)[0]
    with InspectionStore(folder) as store:
        clear(folder)
        assert store.read({found.sha256}) == {}
        store.write([found])  # lost
    with InspectionStore(folder) as store:
        store.write([found])
        assert store.read({found.sha256}) == {found.sha256: found}


def test_two_may_clear_at_once(files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_cache(files, 48, folder)
    real = shutil.rmtree

    def rmtree(path: Path, **named: Any) -> None:
        real(path)
        real(path, **named)  # gone: as if another process had been quicker

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert clear(folder) > 0
    assert not folder.exists()


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_folder() == tmp_path / "cache"
    monkeypatch.delenv("FRACTURE_CACHE_DIR")
    assert default_folder().name == "fracture"
    assert default_folder().is_absolute()


def test_clearing_keeps_what_is_not_the_projects(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "thesis").mkdir(parents=True)
    (folder / "thesis" / "chapter.txt").write_text("years of work")
    (folder / "images" / "entry").mkdir(parents=True)
    (folder / "images" / "entry" / "images.npy").write_bytes(b"x" * 100)
    (folder / "patient.key").write_bytes(b"k" * 32)
    assert cache.clear(folder) == 100
    assert (folder / "patient.key").is_file(), "another key would make two patients of one"
    assert (folder / "thesis" / "chapter.txt").is_file()
    assert not (folder / "images").exists()


def test_a_full_disk_is_said_before_anything_is_decoded(
    files: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        open_cache(files, 48, folder)
    assert str(folder) in str(explained(caught.value)), "what a person reads has the place"
    monkeypatch.undo()
    assert not list(folder.rglob("*.part"))
