"""What the store is told of a run: its name, settings and tags, and in the end its results."""

from pathlib import Path
from typing import Any

from fracture.config import TrainConfig, as_text, changed, defaults
from fracture.data.audit.report import AuditReport
from fracture.evidence import Results
from fracture.evidence.healthy import NONE
from fracture.files import write_json
from fracture.models import backbones
from fracture.runs.inputs import log_inputs
from fracture.runs.record import Record, write_record
from fracture.tables import counted
from fracture.tracking import environment
from fracture.tracking.run import TrackedRun
from fracture.tracking.summary import summary
from fracture.training import execution
from fracture.training.job import Job

_IN_NAMES = {  # the settings that tell runs apart, the most telling first, and what they are called in a run's name
    "fold": "fold", "lr": "lr", "batch_size": "batch", "seed": "seed", "image_size": "size", "weights": "weights",
    "optimizer": "optimizer", "batch_norm": "batch norm", "features": "features", "operating": "operating",
    "refer_error": "refer error",
}  # fmt: skip


def record_run(run: TrackedRun, job: Job) -> None:
    """Everything that is known before training, on the run and beside the state."""
    plan, manifest = job.plan, job.dataset.manifest
    given = as_text(job.config) | dict.fromkeys(job.plan.recipe, "auto")  # as `mlflow run` has logged it
    record = Record(
        config=job.config,
        plan=job.plan,
        data_root=str(manifest.root),
        data_digest=manifest.digest(),
        healthy=job.healthy or NONE,
        weights_origin=job.weights.origin,
        weights_path=job.weights.path,
        weights_description=job.weights.description,
        weights_license=job.weights.license,
        weights_changes=job.weights.changes,
        continues=job.continues,
    )
    write_json(job.folder / "environment.json", environment.environment(execution.hardware(job.plan.device)))
    if diff := environment.uncommitted():
        (job.folder / "uncommitted.diff").write_text(diff, encoding="utf-8")
    resolved = {f"recipe.{name}": value for name, value in job.plan.recipe.items()}
    run.params(given | resolved | plan.params())
    run.tag(_tags(job))
    log_inputs(run, job.dataset.manifest)
    write_record(job.folder, record)  # last of what is needed: a run with it can go on
    run.metrics(plan.memory(), step=0)


def _tags(job: Job) -> dict[str, Any]:
    manifest = job.dataset.manifest
    return {
        "fracture.kind": "train",
        "fracture.changed": ", ".join(f"{name}={value}" for name, value in _changes(job).items()) or "nothing",
        "fracture.model": job.backbone.name,
        "fracture.weights": job.weights.origin,
        "fracture.weights_license": job.weights.license,
        "fracture.weights_changes": "; ".join(job.weights.changes) or "none",
        "fracture.healthy": job.healthy or NONE,
        "fracture.data_digest": manifest.digest(),
        "fracture.test_digest": manifest.digest("test"),
        "fracture.synthetic": str(manifest.synthetic).lower(),
        "fracture.state": job.folder,
        **({"fracture.continues": job.continues} if job.continues else {}),
    } | ({"mlflow.source.git.commit": commit} if (commit := environment.git("rev-parse", "HEAD").strip()) else {})


def audit_tags(report: AuditReport | None) -> dict[str, str]:
    """What the audit found, None for one that was not made."""
    if report is None:
        return {"fracture.audit": "off"}
    return {"fracture.audit": report.verdict, "fracture.confounded": str(report.confounded).lower()}


def publish(run: TrackedRun, job: Job, results: Results) -> None:
    """Metrics, description and evidence of a finished run."""
    run.judged(results)
    best = results.history[results.best_epoch - 1]
    chosen = {f"best_{name}": value for name, value in best.items() if name.startswith("val_")}
    run.metrics(chosen | {"best_epoch": results.best_epoch}, step=0)
    run.tag({"fracture.weights_sha256": results.weights_sha256})
    plan = job.plan.model_dump(exclude={"reasons", "recipe"})
    planned = {key: str(value) for key, value in plan.items() if value is not None}
    run.describe(summary(results, planned, job.weights.license))


def _changes(job: Job) -> dict[str, str]:
    """The settings that differ from their defaults and from what the recipe chose."""
    return {name: value for name, value in changed(job.config).items() if name not in (*job.plan.recipe, "resume")}


def name_of(config: TrainConfig, given: TrainConfig, backbone: backbones.Backbone, data: str) -> str:
    """What was given of what tells runs apart, then model and data: MLflow's table of runs cuts a name short."""
    values, usual = as_text(given), defaults()
    values["weights"] = Path(values["weights"]).name
    first = [f"{word} {values[name]}" for name, word in _IN_NAMES.items() if values[name] != usual[name]]
    probed = ["linear probe"] if config.head == "probe" else []
    model = f"{backbone.nickname.split('.')[0]} on {data}"
    epochs = [counted(int(values["epochs"]), "epoch")] if values["epochs"] != usual["epochs"] else []
    return ", ".join([*first, *probed, model, *epochs])
