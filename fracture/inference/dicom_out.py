"""A folder of reports and heat maps of DICOM files, ready to be sent to a PACS."""

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fracture.data.dicom import read_dataset
from fracture.data.images import ImageError, is_dicom
from fracture.errors import ConfigError
from fracture.files import as_text, replacing
from fracture.inference.log import Served
from fracture.inference.predictor import Answer, Predictor
from fracture.tables import counted

if TYPE_CHECKING:
    from pydicom import Dataset

    from fracture.inference.dicom_objects import Author


@dataclass(frozen=True)
class Sent:
    """What was written.

    Attributes:
        written: images whose report was written now.
        kept: that had one before.
        skipped: path and reason of those without one, or without a heat map.
    """

    written: int
    kept: int
    skipped: tuple[tuple[str, str], ...]

    def said(self, folder: Path) -> str:
        """The same in a line."""
        kept = f"{self.kept:,} kept from before" if self.kept else ""
        skipped = f"{counted(len(self.skipped), 'file')} skipped" if self.skipped else ""
        return f"{folder}: " + ", ".join(filter(None, (f"{counted(self.written, 'report')} written", kept, skipped)))

    def warnings(self, most: int = 20) -> list[str]:
        """A line for each file that was skipped, up to ``most``."""
        more = len(self.skipped) - most
        return [f"{path}: {why}" for path, why in self.skipped[:most]] + ([f"and {more} more"] if more > 0 else [])


def ready(folder: Path) -> None:
    """See that reports can be written into a folder, which is made.

    Raises:
        ConfigError: highdicom is missing, or it is no folder.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise ConfigError("--dicom-sr needs more than is installed: pip install -e '.[dicom-out]'")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--dicom-sr={folder}: {error.strerror}; give a folder") from error


def write(
    predictor: Predictor, served: Served, paths: Sequence[Path], folder: Path, progress: Callable[[str, int, int], None]
) -> Sent:
    """Write a report, and a secondary capture with the heat map, of each DICOM file that has none yet.

    Args:
        predictor: the model.
        served: its name and version.
        paths: of the images; those that are no DICOM are skipped.
        folder: for ``SR.<uid>.dcm`` and ``SC.<uid>.dcm``, named by their own UIDs.
        progress: called with how far it is.
    """
    from fracture.inference.dicom_objects import Author  # whoever writes no reports needs no highdicom

    decided = hashlib.sha256(predictor.sidecar.model_dump_json().encode()).hexdigest()
    author = Author(served.name, served.version, served.weights, decided)
    written, kept, skipped = 0, 0, []
    for number, path in enumerate(paths, start=1):
        try:
            new, why = _write(predictor, author, path, folder)
            written, kept = written + new, kept + (not new)
        except ImageError as error:
            why = str(error)
        except (ValueError, TypeError, AttributeError) as error:  # highdicom refuses a value of the source
            why = f"no report can be made of it: {error}"
        if why:
            skipped.append((as_text(str(path)), why))
        progress("reports", number, len(paths))
    return Sent(written, kept, tuple(skipped))


def _write(predictor: Predictor, author: "Author", path: Path, folder: Path) -> tuple[bool, str]:
    """Whether a report was written, and why it has no heat map, empty where it has one.

    Raises:
        ImageError: it cannot be read, or there can be no report.
        OSError: it cannot be written.
    """
    from fracture.inference import dicom_objects

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error
    if not is_dicom(data):
        raise ImageError("is no DICOM file, so no report of it is written")
    source = dicom_objects.source_of(read_dataset(data))
    target = folder / f"SR.{author.uid(source.SOPInstanceUID, 'SR')}.dcm"
    if target.exists():
        return False, ""
    found = predictor.prepare(data, pictures=True)
    answer = found if isinstance(found, Answer) else predictor.answer([found])[0]
    if isinstance(found, Answer) or answer.error:
        raise ImageError(f"has no answer, so no report of it is written: {answer.error}")
    try:
        captured = dicom_objects.capture(source, answer, author, predictor.heat(found, answer.label))
        _save(captured, folder / f"SC.{captured.SOPInstanceUID}.dcm")
        why = ""
    except ValueError as error:
        why = f"has a report, but no heat map: {error}"
    _save(dicom_objects.report(source, answer, author), target)  # last: who finds it finds both
    return True, why


def _save(made: "Dataset", path: Path) -> None:
    with replacing(path) as part:
        made.save_as(part, enforce_file_format=True)
