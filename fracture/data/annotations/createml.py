"""Apple's CreateML JSON: one list for many images, by name; boxes by their centre, in pixels of an unknown size.

Format: https://developer.apple.com/documentation/createml/building-an-object-detector-data-source. Roboflow puts
``_annotations.createml.json`` into the folder of each split.
"""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from fracture.data.annotations.annotated import Annotated, Draft, read_each
from fracture.data.annotations.files import MIB, Unreadable, read_json
from fracture.data.annotations.matching import Images, splits_in
from fracture.data.annotations.shares import Edges, Unusable, class_name, number, short

KIND = "CreateML"
_LIMIT = 512 * MIB
_MARKS = ('"image"', '"annotations"')


def read(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The CreateML files among ``others``, None where there are none; other JSON is passed over."""
    return read_each(KIND, ".json", others, lambda file, draft: _read_file(root, file, images, draft))


def _read_file(root: Path, file: str, images: Images, draft: Draft) -> None:
    try:
        content = read_json(root / file, _LIMIT, _MARKS)
    except Unreadable as error:
        if error.head and error.may_be(b'"coordinates"'):
            draft.problem(file, str(error))
        return
    entries = [one for one in content if _is_entry(one)] if isinstance(content, list) else []
    if not entries:
        return
    draft.read(file)
    folder, splits = posixpath.dirname(file), splits_in(posixpath.splitext(file)[0])
    for one in entries:
        match = images.match(one["image"], folder, splits)
        if not match.image:
            draft.unmatched(file, match, one["image"])
            continue
        draft.mention(file, match.image)
        for i, annotation in enumerate(one["annotations"], start=1):
            try:
                draft.add(file, match.image, *_annotation(annotation))
            except Unusable as error:
                draft.problem(file, f"{error} (annotation {i} of {match.image})", images=[match.image])


def _is_entry(one: object) -> bool:
    return isinstance(one, dict) and isinstance(one.get("image"), str) and isinstance(one.get("annotations"), list)


def _annotation(one: object) -> tuple[str, Edges]:
    """Label and edges.

    Raises:
        Unusable: no label, no four numbers, or no area.
    """
    place: object = one.get("coordinates") if isinstance(one, dict) else None
    if not isinstance(one, dict) or not isinstance(place, Mapping):
        raise Unusable(f"it has no coordinates: {short(one)}")
    label = class_name(one.get("label"))
    x, y, width, height = (number(place.get(name), name) for name in ("x", "y", "width", "height"))
    if width <= 0 or height <= 0:
        raise Unusable("its box has no area")
    return label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
