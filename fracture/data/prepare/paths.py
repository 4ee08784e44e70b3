"""What the folders of a path say: the split, and the scope within which file names are compared."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from fracture.data.class_names import are_patients
from fracture.data.copy_marks import is_augmentation_word
from fracture.data.listing import some
from fracture.data.manifest import split_name
from fracture.data.originals import stem_of


def split_of(path: str) -> str:
    """The split that a folder of the path names, empty if none."""
    return next((known for part in PurePosixPath(path).parts[:-1] if (known := split_name(part))), "")


def patient_of(path: str) -> str:
    """The last folder of the path that is called as patients are, empty if none."""
    return next((part for part in reversed(PurePosixPath(path).parts[:-1]) if are_patients([part])), "")


def beside_splits(paths: Iterable[str]) -> str:
    """What is said of folders that lie beside those of splits and hold the same folders; empty where there are none."""
    below: dict[PurePosixPath, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in paths:
        parts = PurePosixPath(path).parts[:-1]
        for i, name in enumerate(parts[:-1]):
            below[PurePosixPath(*parts[:i])][name].add(parts[i + 1])
    for held in below.values():
        splits = [name for name in held if split_name(name)]
        shared = {name for split in splits for name in held[split]}
        others = [
            name for name in held if name not in splits and not is_augmentation_word(name) and held[name] & shared
        ]
        if splits and others:
            return f"the folders {some(sorted(others))} lie beside {some(sorted(splits))}, and no split has such a name"
    return ""


def class_folders(path: str) -> list[str]:
    """The folders of a path that name neither a split nor originals or augmented copies; ``a/a`` is one."""
    kept = [part for part in PurePosixPath(path).parts[:-1] if not split_name(part) and not is_augmentation_word(part)]
    return [part for i, part in enumerate(kept) if i == 0 or part != kept[i - 1]]


def place(path: str, split: str) -> tuple[str, str, str]:
    """Scope, split and stem of a path, as `fracture.data.originals.originals` takes them."""
    return "/".join(class_folders(path)), split, stem_of(path)
