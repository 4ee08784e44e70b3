"""Annotation files of detection data sets, as an image-level classifier can use them: classes and boxes by image."""

from fracture.data.annotations.annotated import Annotated, Finding
from fracture.data.annotations.finder import find

__all__ = ["Annotated", "Finding", "find"]
