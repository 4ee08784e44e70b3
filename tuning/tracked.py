"""The MLflow runs of a study: one for itself, and below it one for each trial."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import mlflow

from fracture.config import as_text
from fracture.data.audit.report import AuditReport
from fracture.privacy import shareable
from fracture.tracking import attached, environment, query
from fracture.tracking.outbox import Outbox
from fracture.tracking.run import TrackedRun
from fracture.training.execution import Plan
from tuning.messages import Epoch
from tuning.record import StudyRecord
from tuning.space import Value
from tuning.task import Task

BEST = "fracture.best_trial"  # tag of the study's run: the trial whose weights it holds


def open_parent(record: StudyRecord | None, name: str) -> TrackedRun:
    """The study's run: taken up again where it has one that is still in the store, else new."""
    if record is not None and query.is_there(record.run):
        return TrackedRun.go_on(record.run, watched=False)
    return TrackedRun.begin(name, "tune", watched=False)


def describe_parent(run: TrackedRun, name: str, record: StudyRecord, task: Task, report: AuditReport | None) -> None:
    """What is known before the first trial."""
    manifest = task.dataset.manifest
    run.tag(
        {
            "fracture.kind": "tune",
            "fracture.study": name,
            "fracture.model": task.backbone.name,
            "fracture.weights": task.weights.origin,
            "fracture.weights_license": task.weights.license,
            "fracture.weights_changes": "; ".join(task.weights.changes) or "none",
            "fracture.synthetic": str(manifest.synthetic).lower(),
            "fracture.audit": report.verdict if report else "off",
        }
        | (
            {"fracture.confounded": str(report.confounded).lower(), "fracture.data_digest": report.digest}
            if report
            else {}
        )
        | ({"mlflow.source.git.commit": commit} if (commit := environment.git("rev-parse", "HEAD").strip()) else {})
    )
    run.params(as_text(record.config) | as_text(record.tuning) | {"study_name": name})
    for split in record.data:
        rows = [
            {"path": manifest.relative(row), "label": row.label, "group": row.group, "sha256": row.sha256}
            for row in manifest.rows
            if row.split == split
        ]
        run.dataset(rows, name=manifest.name, source=str(manifest.root), digest=manifest.digest(split), split=split)


class TrialRun:
    """The run of one trial, below the study's; what the store does not take waits in a folder of its own."""

    def __init__(
        self, parent: str, study: str, number: int, task: Task, values: Mapping[str, Value], folder: Path,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Begin it.

        Args:
            parent: the study's run.
            study: its name.
            number: of the trial.
            task: what all trials share.
            values: what it tries.
            folder: of the study.
            say: hears when the store goes and when it comes back.

        Raises:
            Interrupted: the store does not answer.
        """
        shown = " ".join(f"{_short(name)}{value:.3g}" for name, value in values.items())
        self._run = TrackedRun.begin(f"trial {number}: {shown}", "trial", parent=parent, watched=False)
        self.id = self._run.id
        self._folder = waiting_place(folder, self.id)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._run.keep(self._folder, say)
        self._run.params(as_text(task.with_values(dict(values))))
        self._run.tag(
            {
                "fracture.kind": "trial",
                "fracture.study": study,
                "fracture.trial": number,
                "fracture.model": task.backbone.name,
                "fracture.synthetic": str(task.dataset.manifest.synthetic).lower(),
            }
        )

    def planned(self, plan: Plan) -> None:
        """Log how it is trained, with the predicted memory."""
        self._run.params(plan.params())
        self._run.metrics(plan.memory(), step=0)

    def epoch(self, message: Epoch) -> None:
        """Log an epoch."""
        self._run.metrics(message.metrics, step=message.number)

    def note(self, metrics: Mapping[str, float], step: int) -> None:
        """Log what is known at its end."""
        self._run.metrics(metrics, step)

    def keep(self, path: Path) -> None:
        """Upload a file, if it is there."""
        if path.is_file():
            shutil.copy2(path, self._folder / path.name)
            self._run.evidence(self._folder, only=(path.name,))

    def end(self, state: str, reason: str = "") -> None:
        """End it: ``COMPLETE`` is FINISHED, ``FAIL`` is FAILED, and what was stopped is KILLED, with the reason."""
        counts = state in ("COMPLETE", "PRUNED")
        if not counts:
            self._run.rest()
        self._run.tag({"fracture.trial_state": state})
        status = {"COMPLETE": "FINISHED", "FAIL": "FAILED"}.get(state, "KILLED")
        self._run.end(status, reason)
        if not counts and not self._run.trouble:
            shutil.rmtree(self._folder, ignore_errors=True)


def waiting_place(folder: Path, run_id: str) -> Path:
    """Where a trial's run keeps what the store has not been told; there until the study's run knows of it, too."""
    return folder / f"run-{run_id}"


def waiting(run_id: str, folder: Path) -> Outbox:
    """What waits of a trial that is over."""
    return Outbox(run_id, waiting_place(folder, run_id), lambda _: None, over=True)


def holds(run_id: str) -> int | None:
    """The trial whose weights the study's run holds, None for none."""
    number = query.tags_of(run_id).get(BEST)
    return int(number) if number else None


def hold(run_id: str, number: int, files: Iterable[Path]) -> None:
    """Upload the weights of a trial to the study's run, in place of those of an earlier one.

    While they are on their way the run holds nobody's: whoever is killed then does not leave a wrong number.
    """
    attached.keep(run_id, (), {BEST: ""})
    attached.keep(run_id, files, {})
    attached.keep(run_id, (), {BEST: str(number)})


def close(run_id: str, reason: str) -> None:
    """End the run of a trial whose process is gone, as far as it is still in the store."""
    client = mlflow.MlflowClient()
    try:
        client.set_tag(run_id, "fracture.reason", shareable(reason))
        client.set_tag(run_id, "fracture.trial_state", "FAIL")
        client.set_terminated(run_id, "KILLED")
    except mlflow.exceptions.MlflowException:  # deleted since
        return


def _short(name: str) -> str:
    return {"batch_size": "b", "weight_decay": "wd", "label_smoothing": "ls", "drop_path": "dp"}.get(name, name)
