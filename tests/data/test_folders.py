"""Class folders: what counts as an image, a class, a split, a group, and what is told about the rest."""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.data.folders import read_folder
from fracture.data.manifest import Manifest
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.gather import gather
from fracture.errors import DataError


def tree(root: Path, *names: str) -> Path:
    """Empty files; a name that ends in a slash is a folder."""
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


def read(root: Path) -> tuple[Manifest, list[str]]:
    problems: list[str] = []
    return read_folder(root, problems), problems


def names(manifest: Manifest) -> list[str]:
    return [manifest.relative(row) for row in manifest.rows]


def test_classes_without_splits(tmp_path: Path) -> None:
    manifest, problems = read(tree(tmp_path / "bones", "b/2.png", "b/1.jpg", "a/x.png"))
    assert problems == []
    assert (manifest.name, manifest.classes) == ("bones", ("a", "b"))
    assert names(manifest) == ["a/x.png", "b/1.jpg", "b/2.png"]
    assert {row.split for row in manifest.rows} == {""}


@pytest.mark.parametrize(
    "folders", [("train", "val", "test"), ("Training", "validation", "TESTING"), ("train", "dev", "test")]
)
def test_splits_under_their_usual_names(folders: tuple[str, str, str], tmp_path: Path) -> None:
    files = [f"{folder}/{label}/{folder}.png" for folder in folders for label in ("a", "b")]
    manifest, problems = read(tree(tmp_path, *files))
    assert problems == []
    assert Counter(row.split for row in manifest.rows) == {"train": 2, "val": 2, "test": 2}
    assert manifest.classes == ("a", "b")


OTHER_SPLITS = {  # folders above the classes, and what `prepare` says of them
    ("entrenamiento", "Validación", "prueba"): None,
    ("Trainingsdaten", "Validierung", "Testdaten"): None,
    ("entrainement", "validation", "test"): None,
    ("train", "val", "test", "unseen"): "the folders unseen lie beside test, train, val",
    ("training", "evaluation"): "the folders evaluation lie beside training",
    ("derivation", "validation"): "the folders derivation lie beside validation",
    ("train", "valid", "external"): "the folders external lie beside train, valid",
    ("tr", "te"): "the folders tr, te look like splits",
    ("development", "internal_test"): "the folders internal_test look like splits",
}


@pytest.mark.parametrize(("folders", "words"), OTHER_SPLITS.items(), ids=map("-".join, OTHER_SPLITS))
def test_folders_of_splits_in_other_words_are_known_or_refused(
    folders: tuple[str, ...], words: str | None, tmp_path: Path
) -> None:
    root = tree(
        tmp_path, *(f"{f}/{label}/{f}{i}.png" for f in folders for label in ("fracture", "normal") for i in (1, 2))
    )
    manifest, problems = read(root)
    if words is None:
        assert problems == []
        assert Counter(row.split for row in manifest.rows) == {"train": 4, "val": 4, "test": 4}
        assert manifest.classes == ("fracture", "normal")
        assert Counter(record.split for record in gather([root], PrepareConfig(), root)[0].records)["test"] == 4
        return
    assert problems
    with pytest.raises(DataError, match=words):
        gather([root], PrepareConfig(), root)


@pytest.mark.parametrize("folders", [("phase1", "phase2"), ("hospital", "clinic"), ("Original", "Augmented")])
def test_folders_above_the_classes_are_no_classes(folders: tuple[str, ...], tmp_path: Path) -> None:
    root = tree(
        tmp_path, *(f"{f}/{label}/{f}{i}.png" for f in folders for label in ("fracture", "normal") for i in (1, 2))
    )
    _, problems = read(root)
    named = ", ".join(sorted(folders))
    assert problems[0] == f"{root.resolve()}: the classes seem to be fracture, normal, not {named}"
    assert {record.label for record in gather([root], PrepareConfig(), root)[0].records} == {"fracture", "normal"}


def test_splits_inside_the_class_folders(tmp_path: Path) -> None:
    files = [f"{label}/{split}/{split}_flip.png" for label in ("a", "b") for split in ("train", "valid", "test")]
    manifest, problems = read(tree(tmp_path, *files, "a/test/train_rotate.png"))
    assert problems == []
    assert Counter(row.split for row in manifest.rows) == {"train": 2, "val": 2, "test": 3}
    assert manifest.classes == ("a", "b")
    related = {row.group for row in manifest.rows if row.path.name.startswith("train") and row.label == "a"}
    assert len(related) == 1, "copies of one original are a group across splits"


PATIENTS = {  # where they are, as `prepare` finds them too
    "file names": lambda i: f"{'ab'[i % 2]}/patient{i // 4:03d}_{i % 4}.png",
    "file names in two splits": lambda i: f"{('train', 'val', 'test')[i % 3]}/{'ab'[i % 2]}/P{i // 4:03d}-{i % 4}.png",
    "folders": lambda i: f"{'ab'[i % 2]}/patient{i // 4}/{i % 4}.png",
    "folders of numbers": lambda i: f"{'ab'[i % 2]}/{i // 4:03d}/{('AP', 'LAT')[i // 2 % 2]}.png",
    "folders below splits": lambda i: f"{('train', 'val', 'test')[i % 3]}/{'ab'[i % 2]}/{i // 4:05d}/{i % 4}.png",
}


@pytest.mark.parametrize("name", PATIENTS.values(), ids=PATIENTS)
def test_patients_of_folders_and_names_are_groups_and_said(name: Callable[[int], str], tmp_path: Path) -> None:
    manifest, problems = read(tree(tmp_path, *(name(i) for i in range(48))))
    assert problems == []
    assert Counter(Counter(row.group for row in manifest.rows).values()) == {4: 12}
    assert len(manifest.notes) == 1
    assert manifest.notes[0].startswith("patients ")
    found = gather([tmp_path], PrepareConfig(), tmp_path)[0].records
    assert {record.path: record.patient.partition("/")[2] for record in found} == {
        row.path: row.group for row in manifest.rows
    }


def test_numbers_in_front_of_names_are_said_to_be_patients_perhaps(tmp_path: Path) -> None:
    names = [f"{'ab'[i % 2]}/{48_320 + i // 4}_{'LR'[i % 2]}{i % 4 // 2}.png" for i in range(48)]
    (note,) = read(tree(tmp_path / "set", *names))[0].notes
    assert note.startswith("no patient is known; if 48320, 48321, 48322 and 9 more in front of the file names are")
    assert read(tree(tmp_path / "other", *(f"{'ab'[i % 2]}/{48_320 + i}.png" for i in range(48))))[0].notes == ()


def test_copies_of_one_original_tie_patients_together(tmp_path: Path) -> None:
    names = [f"a/p{i:03d}_{i}.png" for i in range(2, 12)] * 2 + [
        f"b/p{i:03d}_{view}.png" for i in (1, 2) for view in "xy"
    ]
    manifest, _ = read(tree(tmp_path, *names, *(f"a/p{i:03d}_{i} copy.png" for i in range(2, 12))))
    groups = {manifest.relative(row): row.group for row in manifest.rows}
    assert groups["a/p003_3.png"] == groups["a/p003_3 copy.png"] == "p003"
    assert groups["b/p002_x.png"] == groups["a/p002_2 copy.png"]


def test_splits_inside_some_class_folders_only(tmp_path: Path) -> None:
    _, problems = read(tree(tmp_path, "a/train/1.png", "a/val/1.png", "b/1.png"))
    assert problems == [f"{tmp_path.resolve() / 'b'}: its images lie in none of train/, val/, test/, as those of other "
                        "classes do; move them"]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["a/1.PNG", "a/1.Jpeg", "a/deep/er/1.tif", "a/1.dcm", "a/1.webp", "a/1.bmp", "a/1.gif", "a/with space.jpg"]
)
def test_what_is_an_image(name: str, tmp_path: Path) -> None:
    assert names(read(tree(tmp_path, name, "b/1.png"))[0]) == [name, "b/1.png"]


@pytest.mark.parametrize(
    "name",
    ["a/notes.txt", "a/.hidden.png", "a/Thumbs.db", "__MACOSX/1.png", ".git/1.png", "README.md", "a/folder.png/"],
)
def test_what_is_none(name: str, tmp_path: Path) -> None:
    manifest, problems = read(tree(tmp_path, name, "a/1.png", "b/1.png"))
    assert names(manifest) == ["a/1.png", "b/1.png"]
    assert problems == []


BAD = {
    "empty class": (["a/1.png", "b/"], ["b: no images in this class"]),
    "class of texts": (
        ["a/1.png", "b/1.txt"],
        ["b: no images in this class", "`fracture prepare"],
    ),
    "structure": (
        ["images_001/1.png", "images_002/2.png", "labels.csv"],
        ["these look like counters, not like classes", "files that may hold labels lie there: labels.csv"],
    ),
    "kinds that are not read": (["a/1.png", "b/2.png", "b/3.heic"], ["b/3.heic: "]),
    "nothing": ([], [": no class folders"]),
    "images without classes": (["1.png", "2.png"], [": no class folders", "2 images lie beside the class folders"]),
    "a loose image": (["a/1.png", "b/2.png", "3.png"], ["1 images lie beside the class folders"]),
    "a folder beside the splits": (
        ["train/a/1.png", "val/a/2.png", "test/a/3.png", "more/a/4.png"],
        ["more: holds images but is none of train/, val/, test/"],
    ),
    "no val": (["train/a/1.png", "test/a/2.png"], ["no val/ folder beside test/, train/; `fracture prepare"]),
    "only train": (["train/a/1.png"], ["no val/ folder", "no test/ folder"]),
    "no train": (["val/a/1.png", "test/a/2.png"], ["no train/ folder beside test/, val/"]),
    "empty split": (["train/a/1.png", "val/a/2.png", "test/"], ["test: no class folders"]),
    "two names of a split": (
        ["train/a/1.png", "val/a/2.png", "validation/a/3.png", "test/a/4.png"],
        ["val: means val as validation/ does; merge them"],
    ),
    "all at once": (
        ["train/a/", "train/b/1.png", "test/"],
        ["train/a: no images", "no val/", "test: no class folders"],
    ),
}


@pytest.mark.parametrize(("files", "messages"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_told(files: list[str], messages: list[str], tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "./", *files)
    problems = read(root)[1]
    assert len(problems) == len(messages)
    for message in messages:
        assert any(message in problem for problem in problems), problems


def test_siblings_of_one_original_are_a_group(tmp_path: Path) -> None:
    manifest, _ = read(
        tree(
            tmp_path,
            "a/764_Simple Bone Fracture.jpg",
            "a/764_Simple Bone Fracture_flip_vertical.jpg",
            "a/764_Simple Bone Fracture_rotate.jpg",
            "a/765_Simple Bone Fracture.jpg",
            "b/764_Simple Bone Fracture.jpg",
        )
    )
    groups = {manifest.relative(row): row.group for row in manifest.rows}
    assert len({group for name, group in groups.items() if name.startswith("a/764")}) == 1
    assert len(set(groups.values())) == 3


def test_siblings_meet_across_splits(tmp_path: Path) -> None:
    manifest, _ = read(tree(tmp_path, "train/a/7_bone_rotate.png", "test/a/7_bone.png", "val/a/8_bone.png"))
    groups = {row.split: row.group for row in manifest.rows}
    assert groups["train"] == groups["test"] != groups["val"]


def test_subfolders_of_a_class_are_other_patients(tmp_path: Path) -> None:
    manifest, _ = read(tree(tmp_path, "a/patient1/1.png", "a/patient2/1.png"))
    assert len({row.group for row in manifest.rows}) == 2


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    manifest, _ = read(tree(tmp_path, *(f"{label}/{i}.png" for label in "ba" for i in range(12))))
    assert [row.path for row in manifest.rows] == sorted(row.path for row in manifest.rows)


def test_what_a_program_keeps_beside_the_images_is_none_of_them(tmp_path: Path) -> None:
    hidden = ("a/.ipynb_checkpoints/1-checkpoint.png", "a/__MACOSX/1.png", "a/._1.png")
    manifest, problems = read(tree(tmp_path, "a/1.png", "b/x/2.png", *hidden))
    assert problems == []
    assert names(manifest) == ["a/1.png", "b/x/2.png"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    root = tree(tmp_path / "bones", "a/1.png", "b/2.png")
    tree(tmp_path / "elsewhere", "3.png")
    (root / "a" / "loop").symlink_to(root)
    assert read(root)[1] == []
    (root / "a" / "more").symlink_to(tmp_path / "elsewhere")
    assert names(read(root)[0]) == ["a/1.png", "a/more/3.png", "b/2.png"]
    (root / "a" / "more").unlink()
    (root / "c").symlink_to(tmp_path / "elsewhere")
    assert names(read(root)[0]) == ["a/1.png", "b/2.png", "c/3.png"], "a class may be a link itself"


def test_names_that_are_not_utf8_are_refused_by_folder(tmp_path: Path) -> None:
    tree(tmp_path, "a/1.png", "b/2.png")
    for name in (b"caf\xe9.png", b"\xff.png"):
        try:
            Path(os.fsdecode(bytes(tmp_path / "b") + b"/" + name)).touch()
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    manifest, [problem] = read(tmp_path)
    assert names(manifest) == ["a/1.png", "b/2.png"]
    assert re.search(r"b/(caf\\xe9|\\xff)\.png: its name is not valid UTF-8, or .*: rename it, and 1 more", problem)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    locked = tree(tmp_path, "a/1.png", "a/locked/2.png", "b/3.png") / "a" / "locked"
    locked.chmod(0)
    try:
        if os.access(locked, os.R_OK):
            pytest.skip("this user may read everything")
        assert read(tmp_path)[1] == [f"{locked}: folder cannot be read: Permission denied"]
    finally:
        locked.chmod(0o755)


def test_a_broken_link_is_told(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "./", "a/1.png", "b/2.png")
    (root / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert any("gone.png: is a broken link or no regular file; fix" in problem for problem in read(root)[1])


def test_folders_that_spell_one_class_in_two_ways_are_refused(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "data", 6, (), ("Fractured", "fracture", "normal"))
    problems: list[str] = []
    read_folder(root, problems)
    assert f"{root}: classes that differ in their spelling only: Fractured, fracture" in problems
