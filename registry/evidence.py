"""The evidence of a run as a plain record, which gates judge; nothing here decides anything."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType

from fracture.data.manifest import Manifest, read_csv
from fracture.errors import ConfigError, FractureError
from fracture.evaluation import predictions
from fracture.evaluation.predictions import Predictions
from fracture.evidence import EnsembleResults, EvaluationResults, FoldMeanResults, Judged, Results, read_results
from fracture.models import checkpoint
from fracture.runs.fold_mean import as_test
from fracture.runs.target import why_no_model
from fracture.tracking import artifacts, query

_NEEDED = ("best.pth", "best.json", "results.json", "predictions_val.csv", "predictions_test.csv", "probe.npz",
           "manifest.csv", "config.json", "environment.json")  # fmt: skip
_OF_TRAINING = ("predictions_val.csv", "config.json", "environment.json")  # what a run with new decisions has no own of
_ROUNDING = 1e-6  # of an accuracy
_APART = 0.05  # of a probability
Trained = Results | EnsembleResults | FoldMeanResults  # of weights that a run has trained, or averaged


@dataclass(frozen=True)
class Evidence:
    """What a run shows.

    Attributes:
        run_id, name, status: of the run.
        results: results.json, None where it cannot be read; where only decisions are new, of the place they are for.
        trained: results.json of the run that trained the weights, where that is another one.
        missing: artifacts that are not there.
        broken: what is there and cannot be used, one sentence each.
        disagreements: between manifest, predictions and results, one sentence each.
        audit: clean, confounded, leaking, off, or empty where nobody has looked.
        confounded: whether the class can be told from the source; None where nobody has looked.
        licence: of the initial weights.
        commit: of the code.
        selected_on: what chose the epoch.
        test_uses: finished runs that were judged on the same test split, this one included.
        robustness: accuracy on validation by disturbance; ``none`` is without. Measured at promotion.
        package_difference: largest difference of a logit of the packaged model from the run's; None before packaging.
        package_problem: why the packaged model cannot be used, empty where it can.
        package_digest: of the packaged model's files, empty before packaging.
        latency_ms: median time of one image through the model alone, on a CPU in fp32; the smaller one of promotion's
            and of the run's, where that was measured so too, as a busy machine only adds to it.
        memory_mib: largest resident memory of a process that answers with it; measured at promotion.
    """

    run_id: str
    name: str
    status: str
    results: Judged | None
    trained: Trained | None = None
    missing: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()
    audit: str = ""
    confounded: bool | None = False
    licence: str = ""
    commit: str = ""
    selected_on: str = ""
    test_uses: int = 0
    robustness: Mapping[str, float] = field(default_factory=dict)
    package_difference: float | None = None
    package_problem: str = "the model has not been packaged"
    package_digest: str = ""
    latency_ms: float | None = None
    memory_mib: float | None = None

    @property
    def training(self) -> Trained | None:
        """The results of the run that trained the weights."""
        return self.results if isinstance(self.results, Trained) else self.trained

    @property
    def unknown(self) -> tuple[str, ...]:
        """What a reader of the model card must know and nobody does."""
        known = {
            "results": self.results, "licence of the initial weights": self.licence, "audit": self.audit,
            "robustness": self.robustness, "memory": self.memory_mib, "latency": self.latency_ms,
        }  # fmt: skip
        return tuple(name for name, value in known.items() if not value)


def read(run_id: str) -> Evidence:
    """Read a run's evidence from the store; of a run that took new decisions also that of the training.

    Raises:
        ConfigError: no such run, or it is of a kind that has no model of its own.
    """
    run = query.run_of(run_id)
    origin = query.run_of(query.trained_by(run_id))
    refitted = origin.id != run_id
    if run.kind == "evaluate" and not refitted:
        raise ConfigError(
            f"run {run_id} only evaluated a model, that of {run.tags.get('fracture.evaluated', 'another run')}: "
            "promote that one, or take new decisions with `fracture evaluate RUN --data DATA --refit-decisions` and "
            "promote what that makes"
        )
    needed = [name for name in _NEEDED if not (refitted and name in _OF_TRAINING)]
    if run.kind == "group":
        needed.remove("predictions_val.csv")  # the mean of folds has judged itself out of fold
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        there = {path.name for path in artifacts.fetch(run_id, needed, place)}
        missing = tuple(name for name in needed if name not in there)
        if "best.pth" in missing and run.kind not in ("", "train"):
            raise ConfigError(why_no_model(run_id))
        results, broken = _results(place, there, EvaluationResults if refitted else Trained)
        broken += _checkpoint(place, there, run.tags)
        disagreements = _disagreements(place, results) if results and not missing else []
        trained, more = _trained(origin, place / "trained") if refitted else (None, [])
        broken += more
    training = trained if refitted else results
    uses = 0 if training is None else query.judged_on(training.test_digest, ("train", "ensemble", "group"))
    alike = (run.params.get("plan.device"), run.params.get("plan.precision")) == ("cpu", "fp32")
    audited = origin.tags.get("fracture.confounded", "")
    return Evidence(
        run_id=run_id, name=run.name, status=run.status, results=results, trained=trained, missing=missing,
        broken=tuple(broken), disagreements=tuple(disagreements),
        latency_ms=results.latency_ms if results and alike else None,
        audit=origin.tags.get("fracture.audit", ""), confounded=audited == "true" if audited else None,
        licence=origin.tags.get("fracture.weights_license", ""),
        commit=origin.tags.get("mlflow.source.git.commit", ""),
        selected_on=training.select_metric if isinstance(training, Trained) else "", test_uses=uses,
    )  # fmt: skip


def _trained(origin: query.Found, place: Path) -> tuple[Trained | None, list[str]]:
    """The results of the run that trained the weights, and what is wrong with it."""
    place.mkdir()
    found, broken = _results(
        place, {path.name for path in artifacts.fetch(origin.id, ("results.json",), place)}, Trained
    )
    problems = [f"of the training run {origin.id}: {one}" for one in broken]
    if found is None and not broken:
        problems.append(f"the training run {origin.id} has no results.json")
    if origin.status != "FINISHED":
        problems.append(f"the training run {origin.id} is {origin.status}")
    return found if isinstance(found, Trained) else None, problems


def _results(place: Path, there: set[str], kind: type[Judged] | UnionType) -> tuple[Judged | None, list[str]]:
    if "results.json" not in there:
        return None, []
    try:
        found = read_results((place / "results.json").read_bytes())
        return (found, []) if isinstance(found, kind) else (None, ["results.json is that of another kind of run"])
    except ValueError as error:
        return None, [f"results.json is of another version of this project or damaged: {str(error).splitlines()[0]}"]


def _checkpoint(place: Path, there: set[str], tags: Mapping[str, str]) -> list[str]:
    """Whether the weights load as plain tensors and are those that the run names."""
    if not {"best.pth", "best.json"} <= there:
        return []
    try:
        with artifacts.named(place):
            _, sidecar = checkpoint.load(place / "best.pth")
    except FractureError as error:
        return [f"the weights do not load: {error}"]
    tagged = tags.get("fracture.weights_sha256", "")
    if tagged and tagged != sidecar.weights_sha256:
        return [f"best.pth holds weights {sidecar.weights_sha256[:12]}, the run names {tagged[:12]}"]
    return []


def _answers(place: Path, manifest: Manifest, split: str, found: list[str]) -> Predictions:
    """The answers to a split; ``found`` is told where they are to other images.

    Raises:
        FractureError: the file is damaged.
    """
    with artifacts.named(place):
        answered = predictions.read(place / f"predictions_{split}.csv")
    if set(answered.sha256) != {row.sha256 for row in manifest.rows if row.split == split}:
        found.append(f"predictions_{split}.csv is not of the images of the {split} split")
    return answered


def _disagreements(place: Path, results: Judged) -> list[str]:
    """Whether manifest, predictions and results are of the same data, and the results what the predictions say."""
    found = []
    if isinstance(results, EnsembleResults) and (results.difference or 0) > _APART:
        found.append(
            f"the ensemble's network gives probabilities up to {results.difference:.3f} away from the answers that are "
            "judged: its members read other sizes, or other numbers; train them at one size"
        )
    try:
        with artifacts.named(place):
            manifest = read_csv(place / "manifest.csv")
        if manifest.digest() != results.data_digest:
            found.append(f"manifest.csv is of data {manifest.digest()}, the results are of {results.data_digest}")
        if isinstance(results, FoldMeanResults):
            manifest = as_test(manifest)
        if manifest.digest("test") != results.test_digest:
            found.append(f"the test split is {manifest.digest('test')}, the results are of {results.test_digest}")
        test = {row.sha256 for row in manifest.rows if row.split == "test"}
        other = {row.sha256 for row in manifest.rows if row.split != "test"}
        if shared := len(test & other):
            found.append(f"{shared} test images are in another split too")
        if (place / "predictions_val.csv").exists():
            _answers(place, manifest, "val", found)
        answered = _answers(place, manifest, "test", found)
        right = float((answered.logits.argmax(axis=1) == answered.labels).mean())
        said = results.splits["test"].metrics["accuracy"].value
        if said is None or abs(right - said) > _ROUNDING:
            found.append(f"predictions_test.csv has an accuracy of {right:.4f}, results.json of {said}")
        if (place / "config.json").exists():
            json.loads((place / "config.json").read_text())
    except (FractureError, ConfigError, KeyError, ValueError) as error:
        found.append(str(error))
    return found
