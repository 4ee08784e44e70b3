"""A run trained longer: a new run that begins where another one has come to, and says so."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fracture.errors import ConfigError
from fracture.evidence import Results, read_kept
from fracture.evidence.healthy import NONE, recorded_healthy
from fracture.models import backbones, checkpoint
from fracture.runs import describe, resume, states
from fracture.runs import session as sessions
from fracture.runs.lifetime import tracked_training
from fracture.runs.record import Record, moved, read_record
from fracture.runs.session import Session
from fracture.runs.states import held_state
from fracture.runs.target import why_no_model
from fracture.tracking import artifacts, query
from fracture.tracking.run import TrackedRun
from fracture.training import execution, fit, state
from fracture.training.conclude import BEFORE
from fracture.training.head import HEADS, read_heads
from fracture.training.job import Job
from fracture.training.probe import start_head
from fracture.training.state import Position

_BEST = (fit.BEST, "best.json")
_KEPT = ("audit.json", "audit.html", "memory.json", "memory.png")  # of the data and the plan, which stay
_PROBE_FILES = ("out_of_fold.npz", HEADS, BEFORE)  # what a linear probe has left beside the state
_TAGS = ("fracture.audit", "fracture.confounded", "fracture.memory_corrected")


@dataclass(frozen=True)
class Origin:
    """Where a run is that is to be trained longer.

    Attributes:
        run: its id.
        record: its settings.
        position: the epochs that count: of a finished run those up to its best one, whose weights are all that it kept.
        folder: with its files.
        tags: of the run that hold for the new one too.
    """

    run: str
    record: Record
    position: Position
    folder: Path
    tags: dict[str, str]

    @property
    def finished(self) -> bool:
        """Whether only the best weights are there, without the optimiser."""
        return not state.exists(self.folder)


def train_longer(run_id: str, epochs: int, session: Session, data: str = "") -> Results:
    """Train a finished or interrupted run up to ``epochs`` epochs, as a new run; the old one stays as it is.

    An interrupted run goes on with its optimiser, as if it had been begun with so many epochs. A finished one goes on
    from its best epoch with a new optimiser.

    Args:
        run_id: of the old run.
        epochs: in all, those that were done included.
        session: of the command.
        data: where the same data lies now; empty for where it lay.

    Raises:
        ConfigError: no such run, none that was trained, or it has done so many epochs already.
        DataError: the data has changed since.
    """
    with tempfile.TemporaryDirectory() as place:
        with artifacts.named(Path(place), f"run {run_id}"):
            origin = _find(run_id, Path(place))
            _check(origin, epochs)
        return _train(origin, _longer(moved(origin.record, data), epochs), session)


def _find(run_id: str, place: Path) -> Origin:
    """Bring the files of a run to ``place``."""
    noted = resume.state_of(run_id)
    tags = query.tags_of(run_id)
    if tags.get("fracture.kind") != "train":
        raise ConfigError(f"resume={run_id}: is no training run, but {tags.get('fracture.kind', 'of another program')}")
    own = {name: tags[name] for name in _TAGS if name in tags}
    if query.status_of(run_id) == "FINISHED":
        artifacts.fetch(run_id, ("config.json", "results.json", HEADS, *_BEST, *_KEPT), place)
        results = read_kept(Results, place / "results.json", run_id)
        if not (place / fit.BEST).is_file():
            raise ConfigError(why_no_model(run_id))
        checkpoint.load(place / fit.BEST)  # what is damaged is told before a run begins
        if results.refit:
            _as_selected(place)
        best = results.best_epoch
        position = Position(epoch=best, history=list(results.history[:best]), seconds=results.seconds)
        return Origin(run_id, read_record(place, run_id), position, place, own)
    record = read_record(noted, run_id)
    with held_state(noted, run_id):
        state.copy(noted, place, (*_BEST, *_KEPT, *_PROBE_FILES))
    return Origin(run_id, record, state.position_of(place), place, own)


def _as_selected(folder: Path) -> None:
    """Take the head that has learned from validation off weights that were finished with one."""
    heads = read_heads(folder)
    if heads is None:
        raise ConfigError(f"{folder}: has no {HEADS}, so the selected head is not known")
    model, sidecar = checkpoint.load(folder / fit.BEST)
    start_head(model, heads.selected)
    state = model.state_dict()
    checkpoint.save(
        folder / fit.BEST, state, sidecar.model_copy(update={"weights_sha256": checkpoint.weights_sha256(state)})
    )
    (folder / HEADS).unlink()  # without the out-of-fold answers, which are gone, nothing could be decided of it again


def _check(origin: Origin, epochs: int) -> None:
    """See that there is something to go on from, and something to do."""
    done = origin.position.epoch
    if origin.finished and not done:
        raise ConfigError(f"resume={origin.run}: was not trained yet; leave epochs out, or start a new run")
    if epochs <= done:
        best = ", its best" if origin.finished else ""
        raise ConfigError(
            f"epochs={epochs}: run {origin.run} is at epoch {done}{best}. Allowed: more than {done} in all."
        )


def _longer(record: Record, epochs: int) -> Record:
    """The settings with more epochs, which the user has chosen and no recipe."""
    plan = record.plan
    chosen = {
        name: {setting: why for setting, why in getattr(plan, name).items() if setting != "epochs"}
        for name in ("recipe", "reasons")
    }
    config = record.config.model_copy(update={"epochs": epochs})
    return record.model_copy(update={"config": config, "plan": plan.model_copy(update={"epochs": epochs, **chosen})})


def _train(origin: Origin, record: Record, session: Session) -> Results:
    config, plan, terminal = record.config, record.plan, session.terminal
    execution.apply_determinism(config.deterministic)
    execution.available_device(plan.device)
    backbone = backbones.find(config.model)
    dataset = resume.open_same(record, origin.run, terminal)
    healthy = recorded_healthy(record.healthy, dataset.classes)
    how = "from its best weights, with a new optimiser" if origin.finished else "where it was interrupted"
    terminal.say(
        f"A new run trains run {origin.run} longer: after epoch {origin.position.epoch}, {how}, up to epoch "
        f"{plan.epochs}. Healthy class: {healthy or NONE}, as in that run."
    )
    name = (
        f"{plan.epochs} epochs, on from {origin.run[:8]}, {backbone.nickname.split('.')[0]} on {dataset.manifest.name}"
    )
    run = TrackedRun.begin(name, "train")
    folder, weights = states.state_folder(run.id), record.weights(begun=True)
    job = Job(config, plan, backbone, weights, dataset, folder, healthy, origin.run)
    with held_state(folder, run.id):
        state.clear(folder)
        run.keep(folder, terminal.say)
        with tracked_training(run, job, terminal, session.resume_command, session.parent) as watch:
            state.copy(origin.folder, folder, (*_BEST, *_KEPT, *_PROBE_FILES))
            if origin.finished:
                fit.begin_at(job, origin.position)
            run.tag(origin.tags)
            describe.record_run(run, job)
            return sessions.carry_out(run, job, session, watch, fresh=False)
