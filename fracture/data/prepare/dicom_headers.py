"""What the headers of DICOM files say that a table of a RIS or PACS may name images by."""

from collections.abc import Mapping
from dataclasses import dataclass

from fracture.data.contents import Progress, in_threads
from fracture.data.dicom import read_header
from fracture.data.inspection.identity import is_placeholder
from fracture.data.pixels import ImageError
from fracture.data.trees import Tree

STUDY, PATIENT, DATE = "StudyInstanceUID", "PatientID", "StudyDate"
_READ = ("SOPInstanceUID", "SeriesInstanceUID", STUDY, "AccessionNumber", PATIENT, DATE)
_HOUSE = "InstitutionName"


@dataclass(frozen=True, slots=True)
class Header:
    """One DICOM file: its absolute path, and its tags, empty where it has none."""

    path: str
    tags: Mapping[str, str]

    @property
    def study(self) -> str:
        """What tells its study from others of the same patient."""
        return self.tags[STUDY] or self.path


def read_headers(tree: Tree, report: Progress) -> tuple[list[Header], list[str]]:
    """The tags of all DICOM files of a tree, and what is wrong with those that cannot be read."""

    def read(place: str) -> Header | str | None:
        path = tree.root / place
        try:
            dataset = read_header(path, (*_READ, _HOUSE)) if path.is_file() else None
        except (ImageError, OSError) as error:
            return str(error)
        if dataset is None:
            return None
        tags = {tag: str(dataset.get(tag, "") or "").strip() for tag in _READ}
        if is_placeholder(tags[PATIENT], str(dataset.get(_HOUSE, "") or "")):
            tags[PATIENT] = ""
        return Header(str(path), tags)

    # folders of a network answer late
    found = in_threads(read, tree.images, 4, lambda done: report("reading headers", done, len(tree.images)))
    return [one for one in found if isinstance(one, Header)], [one for one in found if isinstance(one, str)]
