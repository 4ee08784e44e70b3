"""The predictor of a run, of the registry or of a file, and what is known of it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from fracture.data.manifest import read_csv
from fracture.errors import ConfigError, DataError
from fracture.evidence import Judged
from fracture.files import expanded
from fracture.inference.about import About, figures_of
from fracture.inference.log import Served
from fracture.inference.predictor import Predictor
from fracture.runs import target
from fracture.tracking import artifacts, query

_RESULTS, _MANIFEST = "results.json", "manifest.csv"


def find(name: str, folder: Path) -> Predictor:
    """Bring a model into ``folder`` and make it answer.

    Args:
        name: id of a run, ``models:/...``, or path of a ``.pth``.
        folder: where what has to be downloaded goes.

    Raises:
        ConfigError: no such run, model or file.
    """
    if name.startswith("models:/"):
        return Predictor.load(artifacts.fetch_model(name, folder), name)
    found = target.find(name, folder)
    return Predictor(found.model, found.sidecar)


def find_served(name: str, folder: Path) -> tuple[Predictor, Served]:
    """The same, and what its answers are logged as: an alias is what it points to now, whatever it is moved to later.

    Raises:
        ConfigError: no such run, model or file.
    """
    version = query.version_of_model(name) if name.startswith("models:/") else None
    predictor = find(f"models:/{version.name}/{version.number}" if version else name, folder)
    weights = predictor.sidecar.weights_sha256
    if version:
        return predictor, Served(version.name, version.number, weights)
    return predictor, Served(name if name.startswith("models:/") else Path(name).name, "", weights)


def served(name: str, folder: Path) -> tuple[Predictor, About]:
    """The same, with what is known of the model.

    Raises:
        ConfigError: no such run, model or file.
    """
    predictor, what = find_served(name, folder)
    version = query.version_of_model(f"models:/{what.name}/{what.version}") if what.version else None
    if version:
        about = _of_run(version.run_id, folder / "about", predictor)
        return predictor, replace(about, name=version.name, version=version.number, date=version.made)
    if name.startswith("models:/") or expanded(name).exists():
        return predictor, About(name=what.name)
    return predictor, _of_run(name, folder / "about", predictor)


def _of_run(run_id: str, folder: Path, predictor: Predictor) -> About:
    """What a run says of the weights that it holds; little where it is gone or says it of others."""
    if not query.is_there(run_id):
        return About()
    little = About(name=f"run {run_id[:8]}", run=run_id, date=query.day_of(run_id))
    try:
        judged, trained_by = _read(run_id, folder / "judged"), query.trained_by(run_id)
        training = _read(trained_by, folder / "trained")
        learned = Counter(row.label for row in read_csv(folder / "trained" / _MANIFEST).rows if row.split == "train")
    except (ConfigError, DataError, OSError, ValueError):
        return little
    if judged.weights_sha256 != predictor.sidecar.weights_sha256:
        return little
    test = judged.splits["test"]
    groups = test.metrics["accuracy"].groups
    classes = ", ".join(f"{count:,} {name}" for name, count in sorted(learned.items()))
    return replace(
        little,
        data=f"{training.data}: {learned.total():,} images ({classes})",
        tested=f"{test.n:,} images of {groups:,} groups (patients or originals) of {judged.data}",
        figures=figures_of(judged),
    )


def _read(run_id: str, folder: Path) -> Judged:
    folder.mkdir(parents=True)
    artifacts.fetch(run_id, (_RESULTS, _MANIFEST), folder)
    return Judged.model_validate_json((folder / _RESULTS).read_bytes(), extra="ignore")
