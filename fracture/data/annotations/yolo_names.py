"""Where YOLO sets keep the names of their classes, and which images they call their own.

``data.yaml`` and its like (https://docs.ultralytics.com/datasets/detect): ``names`` as list or dictionary, ``nc``, and
``train``, ``val`` and ``test`` as a folder, a list of folders or a text file of images, from ``path``. Roboflow writes
``../train/images`` where ``train/images`` is meant, and many paths are those of another machine: of such the last
folders count. Darknet and its like keep one name a line in ``classes.txt``, ``obj.names`` or ``_darknet.labels``.
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fracture.data.annotations.files import MIB, Unreadable, read_text
from fracture.data.annotations.matching import Images
from fracture.data.annotations.shares import Unusable, class_name, short

_LIMIT = MIB // 4  # names of classes are few, and YAML is slow
_LIST_LIMIT = 64 * MIB
_LIST_FILES = ("classes.txt", "predefined_classes.txt")
_LIST_SUFFIXES = (".names", ".labels")
_YAML = (".yaml", ".yml")
_USUAL = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
_SPLITS = ("train", "val", "valid", "test")


@dataclass(frozen=True)
class ClassNames:
    """The classes that one file names.

    Attributes:
        file: where they stand.
        names: by class id.
        keypoints: whether lines of labels end in key points, behind the four numbers of the box.
        declared: images that the file says belong together, one set for each folder or list.
    """

    file: str
    names: Mapping[int, str]
    keypoints: bool = False
    declared: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """Every file of class names below a root.

    Attributes:
        found: those that can be used.
        problems: file and reason of those that cannot.
    """

    found: tuple[ClassNames, ...]
    problems: tuple[tuple[str, str], ...]

    def of(self, folder: str) -> ClassNames | None:
        """The names that hold for label files in a folder.

        Those of the nearest folder above count; where none lies above, the only ones of the whole tree. None where
        there are none.

        Raises:
            Unusable: files in one place, or in the whole tree, have different names.
        """
        place = folder
        while True:
            here = [one for one in self.found if posixpath.dirname(one.file) == place]
            if here or not place:
                break
            place = posixpath.dirname(place)
        candidates = here or list(self.found)
        if not candidates:
            return None
        if any(one.names != candidates[0].names for one in candidates):
            shown = ", ".join(one.file for one in candidates[:3])
            raise Unusable(f"several files name its classes differently: {shown}")
        return candidates[0]


def is_list(file: str) -> bool:
    """Whether a file's name is one of lists of class names."""
    name = posixpath.basename(file).lower()
    return name in _LIST_FILES or name.endswith(_LIST_SUFFIXES)


def read_names(root: Path, images: Images, others: Sequence[str]) -> Catalogue:
    """Every file of class names among ``others``; other YAML is passed over."""
    found: list[ClassNames] = []
    problems: list[tuple[str, str]] = []
    for file in others:
        is_yaml = file.lower().endswith(_YAML)
        if not is_yaml and not is_list(file):
            continue
        try:
            one = _from_yaml(root, file, images, others) if is_yaml else _from_list(root, file)
        except Unreadable as error:
            if not is_yaml or error.may_be(b"names"):
                problems.append((file, str(error)))
        except Unusable as error:
            problems.append((file, str(error)))
        else:
            found += [one] if one else []
    return Catalogue(tuple(found), tuple(problems))


def _from_list(root: Path, file: str) -> ClassNames | None:
    lines = read_text(root / file, _LIMIT).splitlines()
    names = {i: class_name(line) for i, line in enumerate(lines) if line.strip()}
    return ClassNames(file, names) if names else None


def _from_yaml(root: Path, file: str, images: Images, others: Sequence[str]) -> ClassNames | None:
    text = read_text(root / file, _LIMIT)
    if "names" not in text:
        return None
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # makes text only, so that the class `no` is not False
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"is broken YAML: {error}", text.encode("utf-8", "replace")) from None
    if not isinstance(content, dict) or not isinstance(content.get("names"), list | dict):
        return None
    if not content.keys() & {"nc", "path", *_SPLITS} and posixpath.basename(file).lower() not in _USUAL:
        return None
    names = _names(content["names"])
    count = content.get("nc", "")
    if isinstance(count, str) and count and count != str(len(names)):
        raise Unusable(f"nc and the number of names differ: {short(count)} and {len(names)}")
    declared = tuple(_declared(root, posixpath.dirname(file), content, images, frozenset(others)))
    return ClassNames(file, names, "kpt_shape" in content, declared)


def _names(listed: list[object] | dict[object, object]) -> dict[int, str]:
    found: dict[int, str] = {}
    for key, name in listed.items() if isinstance(listed, dict) else enumerate(listed):
        text = str(key)
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Unusable(f"the key of a class name is no id: {short(key)}")
        found[int(text)] = class_name(name)
    return found


def _declared(
    root: Path, base: str, content: Mapping[str, object], images: Images, others: frozenset[str]
) -> Iterator[frozenset[str]]:
    """The images of each folder and list that the file names, as far as they are there."""
    start = content.get("path")
    for key in _SPLITS:
        value = content.get(key)
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, str) or not entry:
                continue
            places = list(_places(base, start if isinstance(start, str) else "", entry.replace("\\", "/")))
            listing = next((place for place in places if place in others and place.lower().endswith(".txt")), "")
            if listing:
                yield _listed(root, listing, images)
            else:
                yield frozenset(next((found for place in places if (found := images.below(place))), ()))


def _places(base: str, start: str, entry: str) -> Iterator[str]:
    """Where a path of the file may lead: as it stands, then without its first folders one by one."""
    parts = [part for part in entry.split("/") if part not in ("", ".", "..")]
    for tried in ((base, start, entry), (base, entry), *((base, *parts[i:]) for i in range(len(parts)))):
        place = posixpath.normpath(posixpath.join(*tried))
        yield "" if place == "." else place


def _listed(root: Path, listing: str, images: Images) -> frozenset[str]:
    """The images that a text file lists; those that are not there do not matter here."""
    try:
        lines = read_text(root / listing, _LIST_LIMIT).splitlines()
    except Unreadable:
        return frozenset()
    folder = posixpath.dirname(listing)
    matches = (images.match(line.strip(), folder, frozenset()) for line in lines if line.strip())
    return frozenset(match.image for match in matches if match.image)
