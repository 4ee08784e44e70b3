"""LabelMe: a JSON file for each image, beside it.

Format: https://github.com/wkentaro/labelme. LabelMe turns images as EXIF says before they are drawn on. A shape is
taken by the box around it; a point has none.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fracture.data.annotations.annotated import Annotated, Draft, read_each
from fracture.data.annotations.files import MIB, Unreadable, read_json
from fracture.data.annotations.matching import Images
from fracture.data.annotations.shares import Edges, Unusable, class_name, number, short, sized_box

KIND = "LabelMe"
_LIMIT = 64 * MIB  # the image may lie inside
_MARKS = ('"shapes"', '"imagePath"')


def read(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The LabelMe files among ``others``, None where there are none; other JSON is passed over."""
    return read_each(KIND, ".json", others, lambda file, draft: _read_file(root, file, images, draft), upright=True)


def _read_file(root: Path, file: str, images: Images, draft: Draft) -> None:
    try:
        content = read_json(root / file, _LIMIT, _MARKS)
    except Unreadable as error:
        if error.head and error.may_be(b'"shapes"'):
            draft.problem(file, str(error), images=filter(None, [images.of_file(file).image]))
        return
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(shapes, list):
        return
    draft.read(file)
    named = content.get("imagePath")
    match = images.of_content(file, [named] if isinstance(named, str) and named else [], "imagePath")
    if not match.image:
        draft.without_image(file, match)
        return
    draft.mention(file, match.image)
    draft.sized(match.image, content.get("imageWidth"), content.get("imageHeight"))
    flags = content.get("flags")
    if not shapes and isinstance(flags, dict) and any(flags.values()):
        draft.problem(file, "it has flags of the whole image, which are not read, and no shape", images=[match.image])
    for i, one in enumerate(shapes, start=1):
        try:
            label = class_name(one.get("label") if isinstance(one, dict) else None)
            box = sized_box(label, _edges(one), content.get("imageWidth"), content.get("imageHeight"))
            draft.add(file, match.image, label, box)
        except Unusable as error:
            draft.problem(file, f"{error} (shape {i})", images=[match.image])


def _edges(shape: Mapping[str, object]) -> Edges:
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise Unusable(f"its points are no list of x and y: {short(points)}")
    across, down = [number(point[0]) for point in points], [number(point[1]) for point in points]
    if len(points) < 2:
        raise Unusable("it is a point, which has no box")
    if shape.get("shape_type") == "circle":  # its centre, and a point on it
        radius = ((across[1] - across[0]) ** 2 + (down[1] - down[0]) ** 2) ** 0.5
        return across[0] - radius, down[0] - radius, across[0] + radius, down[0] + radius
    return min(across), min(down), max(across), max(down)
