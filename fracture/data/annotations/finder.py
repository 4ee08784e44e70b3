"""Which annotation files lie in a folder, whatever their kind.

Not read: Supervisely, CVAT XML, TFRecord, masks.
"""

from collections.abc import Sequence
from pathlib import Path

from fracture.data.annotations import coco, createml, labelme, roboflow, via, voc, yolo
from fracture.data.annotations.annotated import Annotated
from fracture.data.annotations.matching import Images

_READERS = (
    roboflow.read_classes, coco.read, createml.read, via.read, voc.read, labelme.read, roboflow.read_boxes, yolo.read,
)  # fmt: skip
"""From what says most outright to what leaves most to be taken for granted: `_classes.csv` answers for every class of
every image; COCO lists images and classes by name, CreateML and VIA list images; VOC and LabelMe have a file for each
image; the CSV only names images with boxes; YOLO keeps the names of classes elsewhere, and a file that is missing means
that there is nothing on an image."""


def find(root: Path, images: Sequence[str], others: Sequence[str]) -> list[Annotated]:
    """The annotations that lie in a folder, one for each kind, the most trustworthy first.

    That is the kind whose files speak of most images (those that YOLO leaves to be assumed do not count); of two that
    speak of as many, the first in the order of `_READERS`.

    No image is opened. Files that are broken become problems of the result; nothing is raised for them.

    Args:
        root: the folder.
        images: every image below it, from the root with forward slashes.
        others: every other file below it, likewise; those with the suffixes json, xml, csv, tsv, txt, yaml, yml, names
            and labels are looked at.
    """
    known = Images(images)
    found = [one for reader in _READERS if (one := reader(root, known, others)) is not None]
    return sorted(found, key=lambda one: len(one.assumed) - len(one.findings))
