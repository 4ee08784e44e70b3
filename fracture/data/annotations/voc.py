"""Pascal VOC: an XML file for each image, beside it or in a folder of its own (``Annotations``).

Format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html. Its coordinates are those of pixels, of
which the upper left one is (1, 1) and the last one belongs to the box: a box reaches from xmin - 1 to xmax. Tools that
count from 0 are thereby misread by one pixel, and what leaves the image so is cut off.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from fracture.data.annotations.annotated import Annotated, Draft, read_each
from fracture.data.annotations.files import MIB, Unreadable, read_text
from fracture.data.annotations.matching import Images
from fracture.data.annotations.shares import Unusable, class_name, from_pixels, number
from fracture.data.boxes import Box

KIND = "Pascal VOC"
_LIMIT = 16 * MIB
_ROOT = re.compile(r"<annotation[\s>/]")


def read(root: Path, images: Images, others: Sequence[str]) -> Annotated | None:
    """The Pascal VOC annotations among ``others``, None where there are none; other XML is passed over."""
    return read_each(KIND, ".xml", others, lambda file, draft: _read_file(root, file, images, draft))


def _read_file(root: Path, file: str, images: Images, draft: Draft) -> None:
    try:
        annotation = _parse(root / file)
    except Unreadable as error:
        if error.may_be(b"<annotation>", b"<annotation "):
            draft.problem(file, str(error), images=filter(None, [images.of_file(file).image]))
        return
    if annotation is None:
        return
    draft.read(file)
    said = [text.strip() for tag in ("path", "filename") if (text := annotation.findtext(tag)) and text.strip()]
    match = images.of_content(file, said, "filename")
    if not match.image:
        draft.without_image(file, match)
        return
    draft.mention(file, match.image)
    draft.sized(match.image, annotation.findtext("size/width"), annotation.findtext("size/height"))
    for number_of, one in enumerate(annotation.findall("object"), start=1):
        try:
            label = class_name(one.findtext("name"))
            draft.add(file, match.image, label, _box(one, label, annotation))
        except Unusable as error:
            draft.problem(file, f"{error} (object {number_of})", images=[match.image])


def _parse(path: Path) -> ET.Element | None:
    """The root of a VOC file, None for other XML.

    Raises:
        Unreadable: not readable, broken, or with a document type, through which entities come that grow without bound.
    """
    text = read_text(path, _LIMIT).lstrip()
    if not _ROOT.search(text):
        return None
    head = text.encode("utf-8", "replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unreadable("has a document type or entities, which are refused", head)
    try:
        found = ET.fromstring(text)
    except (ET.ParseError, ValueError, RecursionError) as error:
        raise Unreadable(f"is broken XML: {error}", head) from None
    return found if found.tag == "annotation" else None


def _box(one: ET.Element, label: str, annotation: ET.Element) -> Box:
    place = one.find("bndbox")
    if place is None:
        raise Unusable("it has no bndbox")
    left, top, right, bottom = (number(place.findtext(tag), tag) for tag in ("xmin", "ymin", "xmax", "ymax"))
    width, height = (annotation.findtext(f"size/{side}") for side in ("width", "height"))
    return from_pixels(label, (left - 1, top - 1, right, bottom), width, height)
