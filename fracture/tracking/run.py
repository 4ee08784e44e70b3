"""One run in the store: begun or attached to, written to, and ended."""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from mlflow.utils.uri import is_local_uri

from fracture.errors import ConfigError
from fracture.evidence import ARTIFACTS, Judged
from fracture.failures import explained, is_store
from fracture.privacy import shareable
from fracture.progress import LOG
from fracture.tracking import store, views
from fracture.tracking.fresh import check_fresh, hidden_tags
from fracture.tracking.liveness import me
from fracture.tracking.outbox import Outbox, few_retries
from fracture.tracking.sections import sectioned
from fracture.tracking.writes import is_active

RANDOM_NAME = re.compile(r"^[a-z]+-[a-z]+-\d+$")  # what MLflow calls a run that nobody named
_NOT_ALLOWED = re.compile(r"[^\w\-. :/]")  # in the name of a metric
_VALUE_LENGTH = 6000  # of a parameter; MLflow refuses longer ones


class TrackedRun:
    """A run that is being written.

    Attributes:
        id: of the run.
        place: where its artifacts are, a local folder or else an address.
    """

    def __init__(self, run_id: str) -> None:
        """Refer to a run that is active in this process."""
        self.id = run_id
        self.place = ""
        self._client = mlflow.MlflowClient()
        self._outbox = Outbox(run_id)

    @classmethod
    def begin(cls, name: str, kind: str, *, parent: str | None = None, watched: bool = True) -> "TrackedRun":
        """Attach to the run that ``mlflow run`` made, else start one, below ``parent`` where given.

        Args:
            name: shown in the UI, unless the user named the run.
            kind: what it does, a tag from its first moment on: train, tune, evaluate and so on.
            parent: id of the active run it belongs to.
            watched: log system metrics.

        Raises:
            ConfigError: MLFLOW_RUN_ID names a run that is not fresh, or the store makes none.
            Interrupted: the store does not answer.
        """
        if parent is not None:
            os.environ.pop("MLFLOW_RUN_ID", None)  # MLflow would attach to it, whatever parent is wanted
        elif given := store.attached_run_id():
            check_fresh(given)
        try:
            place = mlflow.MlflowClient().get_run(parent).info.experiment_id if parent else None
            active = mlflow.start_run(
                experiment_id=place, nested=parent is not None, parent_run_id=parent, log_system_metrics=watched,
                tags={"fracture.kind": kind, "fracture.process": json.dumps(me())},
            )  # fmt: skip
        except MlflowException as error:
            refused = ConfigError(f"no run can begin in the store {store.shown()}: {error.message}")
            raise explained(error) or refused from error
        return cls._ready(active.info.run_id, name)

    @classmethod
    def go_on(cls, run_id: str, *, parent: str | None = None, watched: bool = True) -> "TrackedRun":
        """Open an unfinished run again; the one that ``mlflow run`` has just made becomes a pointer to it.

        Raises:
            ConfigError: no such run.
            Interrupted: the store does not answer.
        """
        pointer = os.environ.pop("MLFLOW_RUN_ID", None)
        if pointer:
            check_fresh(pointer)
        try:
            mlflow.start_run(
                run_id,
                nested=parent is not None,
                log_system_metrics=watched,
                tags={"fracture.process": json.dumps(me())},
            )
        except MlflowException as error:
            raise explained(error) or ConfigError(f"resume={run_id}: {error.message}") from error
        if pointer and pointer != run_id:
            client = mlflow.MlflowClient()
            for key, value in {
                "fracture.kind": "pointer",
                "fracture.resumed_by": run_id,
                "mlflow.runName": f"pointer: resumed {run_id[:8]}",
                "mlflow.note.content": f"This run only resumed run `{run_id}`, which has everything.",
            }.items():
                client.set_tag(pointer, key, value)
        return cls._ready(run_id, "")

    @classmethod
    def _ready(cls, run_id: str, name: str) -> "TrackedRun":
        run = cls(run_id)
        info = run._client.get_run(run_id)
        if store.repair_artifact_location(info):
            info = run._client.get_run(run_id)
        uri = str(info.info.artifact_uri)
        run.place = local_file_uri_to_path(uri) if is_local_uri(uri) else uri
        views.offer(info.info.experiment_id)
        if hidden := hidden_tags(info.data.tags):
            run.tag(hidden)
        if name and RANDOM_NAME.match(info.info.run_name or ""):
            run.tag({"mlflow.runName": name})
        return run

    def keep(self, folder: Path, say: Callable[[str], None]) -> None:
        """From now on keep in ``folder`` what the store does not take, and ``say`` when it goes and comes back.

        What an earlier process of the run has kept there is delivered first.
        """
        self._outbox = Outbox(self.id, folder, say)
        self._outbox.deliver()

    def delivered(self) -> bool:
        """Whether the store has been told all, after one more attempt."""
        return self._outbox.deliver()

    def rest(self) -> None:
        """Ask a store that is away no more: the process is to end at once."""
        self._outbox.rest()

    @property
    def trouble(self) -> str:
        """Why the store does not take what it is told; empty where it does."""
        return self._outbox.reason

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters; one that ``mlflow run`` has logged already stays as it is, whatever its spelling."""
        shown = {key: shareable(str(value))[:_VALUE_LENGTH] for key, value in values.items()}
        self._outbox.put({"what": "params", "values": shown})

    def tag(self, values: Mapping[str, object]) -> None:
        """Set tags."""
        self._outbox.put({"what": "tags", "values": {key: shareable(str(value)) for key, value in values.items()}})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log one batch of metrics, in sections; what no name may hold, as in ``a (3+)``, becomes ``_``."""
        allowed = {_NOT_ALLOWED.sub("_", sectioned(name)): float(value) for name, value in values.items()}
        self._outbox.put({"what": "metrics", "values": allowed, "step": step, "time": int(time.time() * 1000)})

    def logged_steps(self, metric: str) -> set[int]:
        """The steps at which a metric has been logged, or waits to be."""
        names = {metric, sectioned(metric)}  # an earlier version may have begun the run
        waiting = (write for write in self._outbox.waiting if write["what"] == "metrics")
        return {write["step"] for write in waiting if names & write["values"].keys()} | {
            entry.step for name in names for entry in self._client.get_metric_history(self.id, name)
        }

    def dataset(self, rows: Iterable[Mapping[str, str]], *, name: str, source: str, digest: str, split: str) -> None:
        """Log one split as an input of the run, with the digest of its contents."""
        frame = pd.DataFrame([{key: shareable(value) for key, value in row.items()} for row in rows])
        place = LocalArtifactDatasetSource(shareable(source))
        data = mlflow.data.from_pandas(frame, source=place, name=name, digest=digest, targets="label")
        self._outbox.put({"what": "input", "dataset": data.to_dict(), "split": split})

    def judged(self, results: Judged) -> None:
        """Log every metric of the test split, and what one image costs; at step 0, so that MLflow draws bars."""
        test = results.splits["test"].metrics
        single = {"latency_ms": results.latency_ms, "checkpoint_mib": results.checkpoint_mib}
        values = {f"test_{name}": estimate.value for name, estimate in test.items()} | single
        values |= {"temperature": results.calibration.temperature}
        self.metrics({name: value for name, value in values.items() if value is not None}, step=0)

    def take_inputs(self, run_id: str) -> None:
        """Log the data sets of another run as inputs of this one too."""
        for one in self._client.get_run(run_id).inputs.dataset_inputs:
            split = next((tag.value for tag in one.tags if tag.key == MLFLOW_DATASET_CONTEXT), "")
            self._outbox.put({"what": "input", "dataset": one.dataset.to_dictionary(), "split": split})

    def evidence(self, folder: Path, only: Collection[str] = tuple(ARTIFACTS)) -> None:
        """Upload the files of the evidence that lie in ``folder``."""
        self._outbox.put({"what": "evidence", "names": [*only]}, folder)

    def describe(self, markdown: str) -> None:
        """Set the run's description."""
        self.tag({"mlflow.note.content": markdown})

    def end(self, status: str, reason: str = "") -> None:
        """End the run as FINISHED, FAILED or KILLED; why, and where its state lies, are tags until it succeeds.

        That a run has failed may stay unknown to a store that does not answer; that it has succeeded may not.
        """
        write = {"what": "end", "status": status, "reason": shareable(reason)[:5000]}
        try:
            with few_retries(large=True) if status != "FINISHED" else contextlib.nullcontext():
                self._outbox.put(write)
        except Exception as error:
            if status == "FINISHED" or not is_store(error):
                raise
            LOG.error("the run could not be ended in the store: %s", error)
        finally:
            self.leave(status if not self._outbox.waiting else "KILLED")

    def leave(self, status: str) -> None:
        """Have MLflow forget that the run is active in this process, whether the store answers or not."""
        if is_active(self.id):
            with few_retries(1 if self.trouble else 10):
                try:
                    mlflow.end_run(status)
                except Exception as error:
                    if not is_store(error):
                        raise

    def kill_from_outside(self, reason: str) -> None:
        """Mark the run KILLED from another thread than the one that writes it."""
        self._client.set_tag(self.id, "fracture.reason", shareable(reason))
        self._client.set_terminated(self.id, "KILLED")
