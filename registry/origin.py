"""What a registered version was made from: its run's files, and whether they are still what was promoted."""

import contextlib
import csv
import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fracture.errors import ConfigError, GateError
from fracture.evidence import read_results
from fracture.failures import explained
from fracture.files import replacing
from fracture.models.checkpoint import read_sidecar
from fracture.tracking import artifacts, query
from registry.check import JUDGED

TAG = "fracture.made_from"  # of a version: what its run's files were when it was promoted
FILES = ("best.json", "best.pth", "config.json", "manifest.csv", "predictions_test.csv", "results.json")
ANSWERS = ("results.json", "predictions_test.csv")  # what a challenge reads
_DIGITS = 16


def digests(run_id: str, names: Iterable[str] = FILES) -> dict[str, str]:
    """The first digits of the SHA-256 of a run's files, by name.

    Raises:
        ConfigError: no such run, or its artifacts cannot be reached.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in artifacts.fetch(run_id, names, Path(folder)):
            found[path.name] = _digest(path)
    return found


def as_tag(found: dict[str, str]) -> str:
    """Digests as they are in the tag of a version."""
    return ", ".join(f"{name} {digest}" for name, digest in sorted(found.items()))


def noted(version: ModelVersion) -> dict[str, str]:
    """What the tag says; empty for a version from before it was written."""
    pairs = (part.rpartition(" ") for part in version.tags.get(TAG, "").split(", ") if part)
    return {name: digest for name, _, digest in pairs}


def overwritten(version: ModelVersion, names: Iterable[str] = FILES) -> str:
    """Why a version's run is not what it was when the version was made, in one sentence; empty where it is.

    Files that are gone do not count: the version itself holds what it needs.

    Raises:
        ConfigError: the run is gone or its artifacts cannot be reached.
    """
    run_id, wanted = str(version.run_id), noted(version)
    found = digests(run_id, [name for name in names if name in wanted])
    wrong = [name for name in found if found[name] != wanted[name]] if wanted else _other(version, run_id)
    what = f"run {run_id}, which version {version.version} was made from, was overwritten"
    return f"{what}: {', '.join(f'{name} is another' for name in wrong)}" if wrong else ""


def write_answers(run_id: str, folder: Path) -> dict[str, str]:
    """Write what a challenge reads of a run, to lie beside its package; the digests, by name.

    A package goes where it is deployed: paths, sources and names of groups stay behind.
    """
    found = {}
    for path in artifacts.fetch(run_id, ANSWERS, folder):
        if path.suffix == ".csv":
            _nameless(path)
        found[f"{folder.name}/{path.name}"] = _digest(path)
    return found


def answers(name: str, version: ModelVersion, folder: Path) -> Path:
    """A folder with results.json and predictions_test.csv as a version was judged by them.

    They lie beside its package; those of a version from before they did are taken from its run.

    Raises:
        ConfigError: neither can be reached.
        GateError: they are not what they were.
    """
    folder.mkdir()
    with contextlib.suppress(ConfigError):
        place = artifacts.fetch_model(f"models:/{name}/{version.version}/{JUDGED}", folder / "package")
        if all((place / one).is_file() for one in ANSWERS):
            wrong = [one for one in ANSWERS if _digest(place / one) != noted(version).get(f"{JUDGED}/{one}")]
            if wrong:
                raise GateError(f"version {version.version}: {', '.join(wrong)} beside its package was changed")
            return place
    there, why = _fetched(str(version.run_id), folder)
    if len(there) < len(ANSWERS):
        raise ConfigError(
            f"version {version.version}: its answers to the test split are gone with its run {version.run_id}{why}, so "
            "nothing can be compared with it; begin another model: promote --name NAME, challenge --name NAME"
        )
    if problem := overwritten(version, ANSWERS):
        raise GateError(f"{problem}, so it cannot be compared; `python -m registry verify` says more")
    return folder


def _fetched(run_id: str, folder: Path) -> tuple[list[Path], str]:
    """The answers that a run still has, and why there are none."""
    try:
        return artifacts.fetch(run_id, ANSWERS, folder), ""
    except ConfigError as error:
        return [], f" ({str(error).splitlines()[0]})"


def _nameless(path: Path) -> None:
    """Take paths, sources and names of groups out of a table of predictions."""
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        rows, columns = list(table), table.fieldnames or ()
    numbers: dict[str, str] = {}
    for row in rows:
        group = row["group"] and numbers.setdefault(row["group"], f"{len(numbers) + 1}")
        row.update(path="", source="", group=group)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]


def _other(version: ModelVersion, run_id: str) -> list[str]:
    """For a version that notes no files: which of weights and data the run names otherwise than its tags."""
    with tempfile.TemporaryDirectory() as folder:
        place, found = Path(folder), {}
        artifacts.fetch(run_id, ("best.json", "results.json"), place)
        with contextlib.suppress(ConfigError, OSError, ValueError):  # gone, or of an earlier version of this project
            found["weights_sha256"] = read_sidecar(place / "best.pth").weights_sha256
        with contextlib.suppress(OSError, ValueError):
            results = read_results((place / "results.json").read_bytes())
            found |= {"data_digest": results.data_digest, "test_digest": results.test_digest}
    return [name for name, value in found.items() if version.tags.get(f"fracture.{name}", value) != value]


def missing(version: ModelVersion) -> list[str]:
    """Files that a version was made from and its run does not have any more."""
    there = artifacts.names_of(str(version.run_id))
    return [name for name in FILES if name in noted(version) and name not in there]


def run_state(run_id: str) -> str:
    """``there``, ``deleted`` (it can be restored) or ``gone`` of a run."""
    if query.is_there(run_id):
        return "there"
    try:
        mlflow.MlflowClient().get_run(run_id)
    except MlflowException:
        return "gone"
    return "deleted"


def is_reachable(run_id: str) -> bool:
    """Whether a run's files can be read."""
    try:
        return "best.json" in artifacts.names_of(run_id)
    except ConfigError:
        return False


def deleted(run_id: str) -> str:
    """What to say of a deleted run."""
    return f"run {run_id} was deleted; `mlflow runs restore --run-id {run_id}` brings it back"


def restore(run_id: str) -> None:
    """Bring a deleted run back.

    Raises:
        ConfigError: the store does not.
    """
    try:
        mlflow.MlflowClient().restore_run(run_id)
    except MlflowException as error:
        raise explained(error) or ConfigError(f"run {run_id} cannot be restored: {error.message}") from error
