"""COCO JSON: one file for many images, which it lists with their sizes, as it lists the classes.

Format: https://cocodataset.org/#format-data. The file may have any name; Roboflow puts ``_annotations.coco.json`` into
the folder of each split. Its root category (``"supercategory": "none"``) has no annotations, so that it never becomes a
label.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from fracture.data.annotations.annotated import Annotated, Draft, read_each
from fracture.data.annotations.files import MIB, Unreadable, read_json
from fracture.data.annotations.matching import Images, Match, splits_in
from fracture.data.annotations.shares import Edges, Unusable, around, class_name, from_pixels, number, short

KIND = "COCO"
_LIMIT = 512 * MIB  # COCO's own training set of 118,287 images has 450
_MARKS = ('"images"', '"annotations"')


@dataclass(frozen=True, slots=True)
class _Image:
    """An image that the file lists; ``path`` is empty where it is not below the root."""

    path: str
    width: object
    height: object


def read(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The COCO annotations among ``others``, None where there are none; other JSON is passed over."""
    return read_each(KIND, ".json", others, lambda file, draft: _read_file(root, file, images, draft))


def _read_file(root: Path, file: str, images: Images, draft: Draft) -> None:
    try:
        content = read_json(root / file, _LIMIT, _MARKS)
    except Unreadable as error:
        if error.may_be(*(mark.encode() for mark in _MARKS)):
            draft.problem(file, str(error))
        return
    if _is_coco(content):
        draft.read(file)
        _read_content(content, file, images, draft)


def _is_coco(content: object) -> TypeGuard[dict[str, object]]:
    """Whether there are lists of images, one of which has a file's name, and of annotations."""
    if not isinstance(content, dict):
        return False
    images, annotations = content.get("images"), content.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        return False
    return not images or any(isinstance(one, dict) and "file_name" in one for one in images)


def _read_content(content: Mapping[str, object], file: str, images: Images, draft: Draft) -> None:
    names = _categories(content.get("categories"), file, draft)
    listed = _images(content["images"], file, images, draft)
    annotations = content["annotations"]
    for one in annotations if isinstance(annotations, list) else []:
        key = _key(one.get("image_id")) if isinstance(one, dict) else ""
        if not key or key not in listed:
            draft.problem(file, f"an annotation refers to an image that the file does not list: {short(key or one)}")
            continue
        image = listed[key]
        if not image.path:
            continue
        try:
            label = _label(one, names)
            draft.add(file, image.path, label, from_pixels(label, _edges(one), image.width, image.height))
        except Unusable as error:
            draft.problem(file, f"{error} (annotation {short(one.get('id'))} of {image.path})", images=[image.path])


def _categories(listed: object, file: str, draft: Draft) -> dict[str, str]:
    """Class names by id; an id that is that of two names has none."""
    found: dict[str, set[str]] = {}
    for one in listed if isinstance(listed, list) else []:
        key = _key(one.get("id")) if isinstance(one, dict) else ""
        try:
            found.setdefault(key, set()).add(class_name(one.get("name") if key else None))
        except Unusable:
            draft.problem(file, f"a category has no id or no name: {short(key or one)}")
    for key, names in found.items():
        if len(names) > 1:
            draft.problem(file, f"a category id is that of several classes: {short(key)}")
    return {key: names.pop() for key, names in found.items() if len(names) == 1}


def _images(listed: object, file: str, images: Images, draft: Draft) -> dict[str, _Image]:
    """The images by id; those that are not below the root are counted."""
    folder, splits = posixpath.dirname(file), splits_in(posixpath.splitext(file)[0])
    found: dict[str, _Image] = {}
    for one in listed if isinstance(listed, list) else []:
        key, name = (_key(one.get("id")), one.get("file_name")) if isinstance(one, dict) else ("", None)
        if not key or not isinstance(name, str) or not name:
            draft.problem(file, f"an image has no id or no file_name: {short(name or key or one)}")
            continue
        match = images.match(name, folder, splits)
        if key in found:
            twice = filter(None, (found[key].path, match.image))
            draft.problem(file, f"an image id occurs twice: {short(key)}", images=twice)
            match = Match()
        if match.image:
            draft.mention(file, match.image)
            draft.sized(match.image, one.get("width"), one.get("height"))
        elif key not in found:
            draft.unmatched(file, match, name)
        found[key] = _Image(match.image, one.get("width"), one.get("height"))
    return found


def _label(one: Mapping[str, object], names: Mapping[str, str]) -> str:
    key = _key(one.get("category_id"))
    if key not in names:
        raise Unusable(f"its category has no name: {short(key or one.get('category_id'))}")
    return names[key]


def _edges(one: Mapping[str, object]) -> Edges:
    """Those of the annotation's box, or of its polygons; crowds count as other annotations do."""
    box, polygons = one.get("bbox"), one.get("segmentation")
    if isinstance(box, list) and any(box):
        if len(box) != 4:
            raise Unusable(f"its bbox has {len(box)} numbers (four are x, y, width, height)")
        left, top, width, height = (number(value) for value in box)
        return left, top, left + width, top + height
    if isinstance(polygons, list) and polygons and all(isinstance(polygon, list) for polygon in polygons):
        each = [around([number(value) for value in polygon]) for polygon in polygons]
        return min(e[0] for e in each), min(e[1] for e in each), max(e[2] for e in each), max(e[3] for e in each)
    if isinstance(box, list) and box:
        raise Unusable("its box has no area: all its numbers are 0")
    raise Unusable("it has neither a bbox nor polygons")


def _key(value: object) -> str:
    """An id as text, so that 1, 1.0 and "1" are one; empty if it is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        try:
            return str(int(value))
        except (ValueError, OverflowError):
            return ""
    return ""
