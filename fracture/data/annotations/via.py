"""VGG Image Annotator (VIA) JSON: one file for many images, by name; it does not say how large they are.

Format: https://www.robots.ox.ac.uk/~vgg/software/via (versions 1 and 2, exports and projects). It runs in a browser,
which turns images as EXIF says. A region's class is the value of its only attribute, or of the one called as classes
are.
"""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from fracture.data.annotations.annotated import Annotated, Draft, read_each
from fracture.data.annotations.files import MIB, Unreadable, read_json
from fracture.data.annotations.matching import Images, splits_in
from fracture.data.annotations.shares import Edges, Unusable, class_name, number, short

KIND = "VIA"
_LIMIT = 512 * MIB
_MARKS = ('"regions"', '"filename"')
_CLASS = ("label", "class", "type", "name", "category", "finding")
_USUAL = ("caption", "public_domain", "image_url")  # attributes of files that VIA itself begins with


def read(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The VIA files among ``others``, None where there are none; other JSON is passed over."""
    return read_each(KIND, ".json", others, lambda file, draft: _read_file(root, file, images, draft), upright=True)


def _read_file(root: Path, file: str, images: Images, draft: Draft) -> None:
    try:
        content = read_json(root / file, _LIMIT, _MARKS)
    except Unreadable as error:
        if error.head and error.may_be(b'"regions"'):
            draft.problem(file, str(error))
        return
    listed = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    entries = [one for one in listed.values() if _is_entry(one)] if isinstance(listed, dict) else []
    if not entries:
        return
    draft.read(file)
    folder, splits = posixpath.dirname(file), splits_in(posixpath.splitext(file)[0])
    for one in entries:
        match = images.match(str(one["filename"]), folder, splits)
        if not match.image:
            draft.unmatched(file, match, str(one["filename"]))
            continue
        draft.mention(file, match.image)
        _read_entry(file, match.image, one, draft)


def _is_entry(one: object) -> bool:
    return (
        isinstance(one, dict) and isinstance(one.get("filename"), str) and isinstance(one.get("regions"), list | dict)
    )


def _read_entry(file: str, image: str, one: Mapping[str, object], draft: Draft) -> None:
    """The regions of one image, a list or, in version 1, one by number."""
    regions, attributes = one["regions"], one.get("file_attributes")
    listed = list(regions.values()) if isinstance(regions, dict) else regions if isinstance(regions, list) else []
    of_file = [name for name, value in attributes.items() if value] if isinstance(attributes, dict) else []
    if not listed and (odd := [name for name in of_file if name not in _USUAL]):
        draft.problem(file, f"it has attributes of the whole file, which are not read: {short(odd[0])}", images=[image])
    for i, region in enumerate(listed, start=1):
        try:
            if not isinstance(region, dict):
                raise Unusable(f"it is no region: {short(region)}")
            draft.add(file, image, _label(region.get("region_attributes")), _edges(region.get("shape_attributes")))
        except Unusable as error:
            draft.problem(file, f"{error} (region {i} of {image})", images=[image])


def _label(attributes: object) -> str:
    """The class of a region; of a choice among options it is the option that is chosen."""
    held = {name: value for name, value in attributes.items() if value} if isinstance(attributes, dict) else {}
    known = next((name for own in _CLASS for name in held if name.strip().lower() == own), "")
    if not known and len(held) > 1:
        raise Unusable(f"its attributes could all be its class: {', '.join(map(short, list(held)[:3]))}")
    value = held[known] if known else next(iter(held.values()), None)
    if isinstance(value, dict):
        chosen = [name for name, is_chosen in value.items() if is_chosen]
        value = chosen[0] if len(chosen) == 1 else None
    return class_name(value)


def _edges(shape: object) -> Edges:
    """The box around a region, in pixels.

    Raises:
        Unusable: a point, an unknown shape, or no area.
    """
    if not isinstance(shape, dict):
        raise Unusable("it has no shape")
    across, down = shape.get("all_points_x"), shape.get("all_points_y")
    if isinstance(across, list) and isinstance(down, list) and across and down:
        xs, ys = [number(x) for x in across], [number(y) for y in down]
        edges = (min(xs), min(ys), max(xs), max(ys))
    elif {"x", "y", "width", "height"} <= set(shape):
        x, y = number(shape["x"]), number(shape["y"])
        edges = (x, y, x + number(shape["width"]), y + number(shape["height"]))
    elif {"cx", "cy"} <= set(shape) and {"r", "rx"} & set(shape):
        x, y, rx = number(shape["cx"]), number(shape["cy"]), number(shape.get("rx", shape.get("r")))
        ry = number(shape.get("ry", rx))
        edges = (x - rx, y - ry, x + rx, y + ry)
    else:
        raise Unusable(f"its shape has no box: {short(shape.get('name'))}")
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise Unusable("its box has no area")
    return edges
