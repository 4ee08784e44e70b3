"""The tracking server goes away under a study: no trial is lost or repeated, and every metric is told once."""

import re
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from fracture.errors import Interrupted
from fracture.tracking import store
from tests.mlflow_server import Server
from tests.tuning.test_tune import children, parent, study_of, tune
from tuning import conclude, tracked, worker
from tuning.stop import Stop

pytestmark = [pytest.mark.slow, pytest.mark.long]


MOMENTS = {  # before which call of what the server goes
    "before the first trial": ((worker.Worker, "work"), 1),
    "as a trial begins": ((tracked.TrialRun, "__init__"), 2),
    "in a trial": ((tracked.TrialRun, "epoch"), 3),
    "as a trial ends": ((worker.Worker, "_settle"), 2),
    "while its weights are uploaded": ((tracked, "hold"), 1),
    "at the end of the study": ((conclude, "publish"), 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_same_command_goes_on_and_tells_everything_once(
    server: Server, tmp_path: Path, images: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 1.0)
    with monkeypatch.context() as patch:
        place, call = MOMENTS[moment]
        server.end_before(*place, patch, call)
        with pytest.raises(Interrupted, match=r"(?s)tracking store.*Go on with:\n  python -m tuning") as stop:
            tune(tmp_path, images, trials=3)
    assert time.monotonic() - server.ended < 90, "also where the last trial is trained to its end"
    assert "Traceback" not in str(stop.value)
    assert mlflow.active_run() is None
    before = study_of(tmp_path).trials
    server.start()
    said = tune(tmp_path, images, trials=3)
    assert "3 of 3" in said or "3 complete" in said or "2 complete, 1 pruned" in said
    trials = study_of(tmp_path).trials
    counted = [one for one in trials if one.state.name in ("COMPLETE", "PRUNED")]
    assert len(counted) == 3
    for one in before:
        if one.state.name in ("COMPLETE", "PRUNED"):
            assert trials[one.number].values == one.values, "none is trained again"
        elif one.state.name == "FAIL":
            assert one.params in [other.params for other in counted], "tried again with the same values"
    study_run, client = parent(), mlflow.MlflowClient()
    assert study_run.info.status == "FINISHED"
    assert tracked.holds(study_run.info.run_id) is not None
    assert client.list_artifacts(study_run.info.run_id)
    runs = {int(run.data.tags["fracture.trial"]): run for run in children(study_run)}
    for one in counted:
        run = runs[one.number]
        assert run.info.status == ("FINISHED" if one.state.name == "COMPLETE" else "KILLED")
        assert {"trial/seconds", "trial_seconds"} & run.data.metrics.keys()
        for metric in run.data.metrics:
            steps = Counter(point.step for point in client.get_metric_history(run.info.run_id, metric))
            assert set(steps.values()) == {1}, metric
    given_up = {str(one.user_attrs.get("run")) for one in trials if one.state.name == "FAIL"}
    assert "RUNNING" not in {run.info.status for run in children(study_run) if run.info.run_id not in given_up}
    assert not list((store.project_root() / "mlruns" / "tuning").rglob("run-*")), "nothing waits"


def test_a_short_absence_ends_nothing(
    server: Server, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = tracked.TrialRun.epoch, []

    def epoch(self: tracked.TrialRun, message: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            server.end()
        real(self, message)  # type: ignore[arg-type]
        if len(calls) == 4:
            server.start()

    with monkeypatch.context() as patch:
        patch.setattr(tracked.TrialRun, "epoch", epoch)
        said = tune(tmp_path, images, trials=2, epochs=4, pruner="none")
    assert said.count("The tracking store does not accept data") == 1
    assert said.count("The tracking store answers again") == 1
    assert {run.info.status for run in children(parent())} == {"FINISHED"}
    assert re.search(r"trial 0 \(1 of 2\) complete", said)


def test_a_trial_that_is_over_waits_for_the_store(
    server: Server, tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, waits = worker.process.wait, []

    def wait(seconds: float, stop: Stop) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            server.start()
        real(seconds, stop)

    with monkeypatch.context() as patch:
        server.end_before(worker.Worker, "_settle", patch)
        patch.setattr(worker.process, "wait", wait)
        said = tune(tmp_path, images, trials=2)
    assert said.count("Waiting for the store, 15 minutes at most") == 1
    assert "2 of 2" in said
    assert {run.info.status for run in children(parent())} == {"FINISHED"}
