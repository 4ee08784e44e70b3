"""The images that a run was validated on, where they still are."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fracture.data.manifest import Manifest, read_csv
from fracture.errors import ConfigError
from fracture.evidence import read_kept
from fracture.runs.record import Record
from fracture.tracking import artifacts, query


@dataclass(frozen=True)
class Validation:
    """Paths and labels of images, in the order of the manifest."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...]


def read(run_id: str, most: int) -> Validation:
    """The validation images of a run, or of the one that trained its weights; of more than ``most`` as many, evenly.

    Raises:
        ConfigError: they are no longer where they were.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        artifacts.fetch(query.trained_by(run_id), ("manifest.csv", "config.json"), place)
        with artifacts.named(place, f"run {run_id}"):
            manifest = read_csv(place / "manifest.csv")
        root = Path(read_kept(Record, place / "config.json", run_id).data_root)
    rows = [row for row in manifest.rows if row.split == "val"] or list(manifest.rows)  # the mean of folds has none
    rows = [rows[i * len(rows) // most] for i in range(most)] if len(rows) > most else rows
    return Validation(tuple(_find(root, manifest, row.path) for row in rows), tuple(row.label for row in rows))


def _find(root: Path, manifest: Manifest, path: Path) -> Path:
    relative = path.relative_to(manifest.root) if path.is_relative_to(manifest.root) else path
    found = relative if relative.is_absolute() else root / relative
    if not found.is_file():
        raise ConfigError(
            f"{found}: an image that the run was validated on is not there, so nothing can be measured on them.\n"
            "Bring the data back; a promotion goes without: --waive robustness --reason ... --by ..."
        )
    return found
