"""Taking up a run that was not finished."""

from pathlib import Path

from fracture.data.dataset import Dataset
from fracture.errors import ConfigError, DataError
from fracture.evidence import Results
from fracture.evidence.healthy import NONE, recorded_healthy
from fracture.files import expanded
from fracture.models import backbones
from fracture.models import weights as initial_weights
from fracture.progress import Terminal
from fracture.runs.delivery import finish_delivery
from fracture.runs.lifetime import say_done, tracked_training
from fracture.runs.record import Record, moved, read_record, write_record
from fracture.runs.session import Session, carry_out, open_data
from fracture.runs.states import held_state, state_folder
from fracture.tracking import query
from fracture.tracking.outbox import only_delivery_is_left
from fracture.tracking.run import TrackedRun
from fracture.training import execution, state
from fracture.training.job import Job


def resume(run_id: str, session: Session, data: str = "") -> Results:
    """Take up an unfinished run under its own settings and plan.

    Args:
        run_id: of the run.
        session: of the command.
        data: where the same data lies now; empty for where it lay.

    Raises:
        ConfigError: no such run, already finished, or its state is not here.
        DataError: the data has changed since.
    """
    folder = state_of(run_id)
    if query.status_of(run_id) == "FINISHED":
        raise ConfigError(
            f"resume={run_id}: this run has finished; give epochs=N beside it, and a new run trains it longer"
        )
    if only_delivery_is_left(folder):
        return _deliver(run_id, folder, session)
    record = moved(read_record(folder, run_id), data)
    execution.apply_determinism(record.config.deterministic)
    execution.available_device(record.plan.device)
    config, backbone = record.config, backbones.find(record.config.model)
    weights = record.weights(begun=state.exists(folder))
    initial_weights.check(weights, backbone, record.plan.image_size)
    dataset = open_same(record, run_id, session.terminal)
    healthy = recorded_healthy(record.healthy, dataset.classes)
    session.terminal.say(f"Healthy class: {healthy or NONE}, as when the run began.")
    job = Job(config, record.plan, backbone, weights, dataset, folder, healthy, record.continues)
    with held_state(folder, run_id):  # before the run is touched: another process may be training it
        if data:
            write_record(folder, record.model_copy(update={"data_root": str(dataset.manifest.root)}))
        run = TrackedRun.go_on(run_id, parent=session.parent)
        run.keep(folder, session.terminal.say)
        with tracked_training(run, job, session.terminal, session.resume_command, session.parent) as watch:
            return carry_out(run, job, session, watch, fresh=False)


def _deliver(run_id: str, folder: Path, session: Session) -> Results:
    """Tell the store of a run that was over when the store was away; nothing is trained or judged again."""
    with held_state(folder, run_id):
        results = Results.model_validate_json((folder / "results.json").read_bytes())
        run = finish_delivery(run_id, folder, session.terminal, session.resume_command, session.parent)
    say_done(run, session.terminal)
    session.terminal.results(results)
    return results


def can_go_on(run_id: str) -> bool:
    """Whether an unfinished run's settings are still here."""
    return (state_folder(run_id) / "config.json").is_file()


def state_of(run_id: str) -> Path:
    """Where the state of a run lies, or lay.

    Raises:
        ConfigError: no such run, or it was deleted.
    """
    tags = query.tags_of(run_id)
    if not query.is_there(run_id):
        raise ConfigError(
            f"resume={run_id}: this run was deleted; `mlflow runs restore --run-id {run_id}` brings it back"
        )
    noted, here = tags.get("fracture.state"), state_folder(run_id)
    return here if here.is_dir() or not noted else expanded(noted)  # here too where the project's folder was moved


def open_same(record: Record, run_id: str, terminal: Terminal) -> Dataset:
    """The data that a run has begun with, wherever it lies now.

    Raises:
        DataError: it is not there, or not the same.
    """
    where = f"If the data was moved, give data=NEW with resume={run_id}"
    try:
        dataset = open_data(record.config, record.plan.image_size, terminal)
    except DataError as error:
        if record.config.data == "demo" or expanded(record.config.data).exists():
            raise
        raise DataError(error.problems, f"{where}.") from error
    now = dataset.manifest.digest()
    if now != record.data_digest:
        raise DataError(
            f"data={record.config.data}: digest {now} now, {record.data_digest} when run {run_id} began",
            f"A run can be resumed only with the same contents, labels and splits: restore them. {where}; else "
            "start a new run.",
        )
    return dataset
