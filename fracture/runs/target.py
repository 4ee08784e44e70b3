"""What an evaluation judges: the model of a run, of the registry, or of a file."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fracture.data.manifest import Manifest, read_csv
from fracture.errors import ConfigError
from fracture.files import expanded
from fracture.inference.predictor import WEIGHTS, Predictor
from fracture.models import checkpoint
from fracture.tracking import artifacts, query

_NAMES = ("best.pth", "best.json")


@dataclass(frozen=True)
class Target:
    """A model and what is known of where it comes from.

    Attributes:
        name: as the user named it.
        path: of its ``.pth``.
        model: on the CPU, in evaluation mode.
        sidecar: what the file beside it says.
        trained_on: content hashes of the images it has learned from or was chosen on, None where nobody knows.
        trained_by: the run that trained it, empty where nobody knows.
    """

    name: str
    path: Path
    model: nn.Module
    sidecar: checkpoint.Sidecar
    trained_on: frozenset[str] | None
    trained_by: str = ""


def find(name: str, folder: Path) -> Target:
    """Bring a model into ``folder`` and load it.

    Args:
        name: id of a run, ``models:/...``, or path of a ``.pth``.
        folder: where what has to be downloaded goes.

    Raises:
        ConfigError: no such run or file, or it has no checkpoint.
    """
    path = expanded(name)
    if path.suffix == ".pth" or (path.exists() and not name.startswith("models:/")):
        place = path / "best.pth" if path.is_dir() else path
        return Target(name, place, *checkpoint.load(place), _beside(place.with_name("manifest.csv")))
    if name.startswith("models:/"):
        fetched = artifacts.fetch_model(name, folder)
        packaged = Predictor.load(fetched, name)
        place = next(fetched.rglob(WEIGHTS))
        run_id = query.run_of_model(name)
        return Target(name, place, packaged.module, packaged.sidecar, *_origin(run_id, folder))
    artifacts.fetch(name, _NAMES, folder)
    place = folder / "best.pth"
    if not place.is_file():
        raise ConfigError(why_no_model(name))
    with artifacts.named(folder, f"run {name}"):
        return Target(name, place, *checkpoint.load(place), *_origin(name, folder))


def why_no_model(run_id: str) -> str:
    """What to say of a run that has no model, and where one is."""
    run = query.run_of(run_id)
    kinds = {
        "ensemble": "it was made before ensembles were models; `fracture ensemble "
        f"{run.tags.get('fracture.members', '').replace(',', ' ')}` makes it again",
        "evaluate": f"it only evaluated a model, that of {run.tags.get('fracture.evaluated', 'another run')}: name "
        f"that",
        "group": "it is the parent of several runs: name one of those below it",
        "pointer": f"run {run.tags.get('fracture.resumed_by', '')} goes on in its place: name that",
    }
    if run.kind == "train" and run.status == "FINISHED":
        kinds["train"] = "it is finished, so the file was deleted since: bring it back, or name another run"
    why = kinds.get(run.kind, "only a finished training run or an ensemble of such does")
    return f"run {run_id}: has no best.pth; {why}"


def _origin(run_id: str, folder: Path) -> tuple[frozenset[str] | None, str]:
    """What the run that trained a model's weights has learned from, and its id; ``run_id`` may have refitted them."""
    if not query.is_there(run_id):
        return None, ""
    trained_by, place = query.trained_by(run_id), folder / "trained"
    if not query.is_there(trained_by):
        return None, ""
    place.mkdir()
    if not artifacts.fetch(trained_by, ("manifest.csv",), place):
        return None, trained_by
    digest = query.tags_of(trained_by).get("fracture.data_digest", "")
    return _learned(read_manifest(trained_by, place, digest)), trained_by


def read_manifest(run_id: str, folder: Path, digest: str) -> Manifest:
    """The manifest of a run that was brought to a folder, held against the digest of its data where that is known.

    Raises:
        ConfigError: it is of other data: rows were lost, or added.
        DataError: it is damaged.
    """
    with artifacts.named(folder, f"run {run_id}"):
        manifest = read_csv(folder / "manifest.csv")
    if digest not in ("", manifest.digest()):
        raise ConfigError(
            f"run {run_id}: its manifest.csv is not of its training data; restore it, or name another run"
        )
    return manifest


def _beside(path: Path) -> frozenset[str] | None:
    return _learned(read_csv(path)) if path.is_file() else None


def _learned(manifest: Manifest) -> frozenset[str]:
    return frozenset(row.sha256 for row in manifest.rows if row.split in ("train", "val"))
