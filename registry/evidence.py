"""The evidence of a run as a plain record, which gates judge; nothing here decides anything."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fracture.data.manifest import read_csv
from fracture.errors import ConfigError, FractureError
from fracture.evaluation import predictions
from fracture.evidence import Results
from fracture.models import checkpoint
from fracture.tracking import artifacts, query

_NEEDED = ("best.pth", "best.json", "results.json", "predictions_val.csv", "predictions_test.csv", "probe.npz",
           "manifest.csv", "config.json", "environment.json")  # fmt: skip
_ROUNDING = 1e-6  # of an accuracy


@dataclass(frozen=True)
class Evidence:
    """What a run shows.

    Attributes:
        run_id, name, status: of the run.
        results: results.json, None where it cannot be read.
        missing: artifacts that are not there.
        broken: what is there and cannot be used, one sentence each.
        disagreements: between manifest, predictions and results, one sentence each.
        audit: clean, confounded, leaking, off, or empty where nobody has looked.
        confounded: whether the class can be told from the source; None where nobody has looked.
        licence: of the first weights.
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
    results: Results | None
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
    def unknown(self) -> tuple[str, ...]:
        """What a reader of the model card must know and nobody does."""
        known = {
            "results": self.results, "licence of the first weights": self.licence, "audit": self.audit,
            "robustness": self.robustness, "memory": self.memory_mib, "latency": self.latency_ms,
        }  # fmt: skip
        return tuple(name for name, value in known.items() if not value)


def read(run_id: str) -> Evidence:
    """Read a run's evidence from the store.

    Raises:
        ConfigError: no such run.
    """
    run = query.run_of(run_id)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        there = {path.name for path in artifacts.fetch(run_id, _NEEDED, place)}
        missing = tuple(name for name in _NEEDED if name not in there)
        results, broken = _results(place, there)
        broken += _checkpoint(place, there, run.tags)
        disagreements = _disagreements(place, results) if results and not missing else []
    uses = 0 if results is None else query.judged_on(results.test_digest, ("train", "ensemble"))
    alike = (run.params.get("plan.device"), run.params.get("plan.precision")) == ("cpu", "fp32")
    audited = run.tags.get("fracture.confounded", "")
    return Evidence(
        run_id=run_id, name=run.name, status=run.status, results=results, missing=missing, broken=tuple(broken),
        disagreements=tuple(disagreements), latency_ms=results.latency_ms if results and alike else None,
        audit=run.tags.get("fracture.audit", ""), confounded=audited == "true" if audited else None,
        licence=run.tags.get("fracture.weights_license", ""), commit=run.tags.get("mlflow.source.git.commit", ""),
        selected_on=results.select_metric if results else "", test_uses=uses,
    )  # fmt: skip


def _results(place: Path, there: set[str]) -> tuple[Results | None, list[str]]:
    if "results.json" not in there:
        return None, []
    try:
        return Results.model_validate_json((place / "results.json").read_bytes()), []
    except ValueError as error:
        return None, [f"results.json is of another version of this project or damaged: {str(error).splitlines()[0]}"]


def _checkpoint(place: Path, there: set[str], tags: Mapping[str, str]) -> list[str]:
    """Whether the weights load as plain tensors and are those that the run names."""
    if not {"best.pth", "best.json"} <= there:
        return []
    try:
        _, sidecar = checkpoint.load(place / "best.pth")
    except FractureError as error:
        return [f"the weights do not load: {error}"]
    tagged = tags.get("fracture.weights_sha256", "")
    if tagged and tagged != sidecar.weights_sha256:
        return [f"best.pth holds weights {sidecar.weights_sha256[:12]}, the run names {tagged[:12]}"]
    return []


def _disagreements(place: Path, results: Results) -> list[str]:
    """Whether manifest, predictions and results are of the same data, and the results what the predictions say."""
    found = []
    try:
        manifest = read_csv(place / "manifest.csv")
        if manifest.digest() != results.data_digest:
            found.append(f"manifest.csv is of data {manifest.digest()}, the results are of {results.data_digest}")
        if manifest.digest("test") != results.test_digest:
            found.append(f"the test split is {manifest.digest('test')}, the results are of {results.test_digest}")
        test = {row.sha256 for row in manifest.rows if row.split == "test"}
        other = {row.sha256 for row in manifest.rows if row.split != "test"}
        if shared := len(test & other):
            found.append(f"{shared} test images are in another split too")
        answered = predictions.read(place / "predictions_test.csv")
        if set(answered.sha256) != test:
            found.append("predictions_test.csv is not of the images of the test split")
        right = float((answered.logits.argmax(axis=1) == answered.labels).mean())
        said = results.splits["test"].metrics["accuracy"].value
        if said is None or abs(right - said) > _ROUNDING:
            found.append(f"predictions_test.csv has an accuracy of {right:.4f}, results.json of {said}")
        json.loads((place / "config.json").read_text())
    except (FractureError, ConfigError, KeyError, ValueError) as error:
        found.append(str(error))
    return found
