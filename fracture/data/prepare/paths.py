"""What the folders of a path say: the split, and the scope within which file names are compared."""

from pathlib import PurePosixPath

from fracture.data.copy_marks import is_augmentation_word
from fracture.data.manifest import split_name
from fracture.data.originals import stem_of


def split_of(path: str) -> str:
    """The split that a folder of the path names, empty if none."""
    return next((known for part in PurePosixPath(path).parts[:-1] if (known := split_name(part))), "")


def class_folders(path: str) -> list[str]:
    """The folders of a path that name neither a split nor originals or augmented copies; ``a/a`` is one."""
    kept = [part for part in PurePosixPath(path).parts[:-1] if not split_name(part) and not is_augmentation_word(part)]
    return [part for i, part in enumerate(kept) if i == 0 or part != kept[i - 1]]


def place(path: str, split: str) -> tuple[str, str, str]:
    """Scope, split and stem of a path, as `fracture.data.originals.originals` takes them."""
    return "/".join(class_folders(path)), split, stem_of(path)
