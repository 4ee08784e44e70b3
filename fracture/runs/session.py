"""One tracked run: from a configuration to its evidence in the store, begun afresh or taken up again."""

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from torch import nn

from fracture.config import TrainConfig, as_text, changed, defaults
from fracture.data import cache
from fracture.data.audit.audit import write_report
from fracture.data.audit.report import AuditReport
from fracture.data.dataset import Dataset, Source, open_dataset, read, resized
from fracture.errors import ConfigError, DataError
from fracture.evidence import Results
from fracture.evidence.healthy import AUTO, NONE, find_healthy, recorded_healthy
from fracture.files import expanded, write_json
from fracture.models import backbones
from fracture.models import weights as initial_weights
from fracture.progress import Terminal
from fracture.runs.audit import audit_before_training
from fracture.runs.delivery import finish_delivery
from fracture.runs.inputs import log_inputs
from fracture.runs.lifetime import say_done, tracked_training
from fracture.runs.record import Record, moved, read_record, write_record
from fracture.runs.report import make_report
from fracture.runs.show import Reporter, show_dataset, show_healthy, show_plan, show_refit
from fracture.runs.states import held_state, state_root
from fracture.runs.subject import subject_of
from fracture.tables import counted
from fracture.tracking import environment, query, store
from fracture.tracking.outbox import only_delivery_is_left
from fracture.tracking.run import TrackedRun
from fracture.tracking.summary import summary
from fracture.training import execution, fit, recipe, state
from fracture.training.conclude import conclude
from fracture.training.execution import Plan
from fracture.training.head import FittedProbe, fit_probe
from fracture.training.memory.job import plan_memory, write_measured
from fracture.training.timing import Timings
from fracture.training.watch import Watch

_IN_NAMES = {  # the settings that tell runs apart, the most telling first, and what they are called in a run's name
    "fold": "fold", "lr": "lr", "batch_size": "batch", "seed": "seed", "image_size": "size", "weights": "weights",
    "optimizer": "optimizer", "batch_norm": "batch norm", "features": "features", "operating": "operating",
    "refer_error": "refer error",
}  # fmt: skip


@dataclass(frozen=True)
class Session:
    """What the runs of one command share.

    Attributes:
        terminal: what is said is said there.
        parent: id of the group's run, None for a single run.
        resume_command: the command that goes on after an interruption, with ``{run}`` for the run's id.
    """

    terminal: Terminal
    parent: str | None
    resume_command: str


def state_folder(run_id: str) -> Path:
    """Where an unfinished run keeps its state."""
    return state_root() / run_id


def train(config: TrainConfig, session: Session) -> Results:
    """Train one backbone and leave a complete run.

    Raises:
        FractureError: see `fracture.errors`; the run then says so, and its state is kept where it can go on.
    """
    execution.apply_determinism(config.deterministic)  # before a GPU is first used
    execution.available_device(config.device)  # what costs nothing is checked before anything is decoded
    backbone = backbones.find(config.model)
    backbones.check(backbone, config)
    size = backbone.image_size(config.image_size)
    weights = initial_weights.find(config.weights, backbone, config.weights_license)
    weights = initial_weights.check(weights, backbone, size)
    _known_class(config)
    dataset = _open(config, size, session.terminal)
    healthy = show_healthy(find_healthy(config.healthy, dataset.classes), session.terminal)
    refused, cache_dir = store.project_root() / "mlruns" / "audit", cache.folder_of(config.cache_dir)
    report = audit_before_training(dataset.manifest, config.data, config.audit, cache_dir, refused, session.terminal)
    facts = recipe.Facts(_training_images(dataset, config), weights.origin != "random", dataset.manifest.synthetic)
    given = config
    config, chosen, why = recipe.resolve(given, backbone, facts)
    if config.refit is True and config.head != "probe":
        raise ConfigError(f"refit=true needs a linear probe (the recipe is {why}): add head=probe, or leave it at auto")
    if idle := recipe.idle(given, config):
        session.terminal.warn(
            f"{', '.join(idle)}: without effect, because only a linear probe is fitted; use recipe=seed, or epochs "
            "above 1, to train with an optimiser"
        )
    if backbone.image_size(config.image_size) != size:
        size = backbone.image_size(config.image_size)
        with session.terminal.working() as working:
            dataset = resized(dataset, size, cache_dir, working)
    plan = execution.resolve(config, size, facts.synthetic)
    plan = plan.model_copy(update={"recipe": chosen, "reasons": plan.reasons | {"recipe": why}})
    run = TrackedRun.begin(_name(config, given, backbone, dataset.manifest.name), "train", parent=session.parent)
    job = fit.Job(config, plan, backbone, weights, dataset, state_folder(run.id), healthy)
    with held_state(job.folder, run.id):
        state.clear(job.folder)  # only `resume` goes on from a state: that an id agrees is no reason
        run.keep(job.folder, session.terminal.say)
        with tracked_training(run, job, session.terminal, session.resume_command) as watch:
            run.tag(_audit_tags(report))
            if report is not None:
                write_report(report, job.folder / "audit.json")
            return carry_out(run, job, session, watch, fresh=True)


def _training_images(dataset: Dataset, config: TrainConfig) -> int:
    """Images of the training split; with folds their nominal number, so that every fold has the same recipe."""
    if config.folds == 1:
        return len(dataset.manifest.indices("train"))
    return round(len(dataset.manifest.rows) * (1 - 1 / config.folds - config.val_fraction))


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
    job = fit.Job(config, record.plan, backbone, weights, dataset, folder, healthy, record.continues)
    with held_state(folder, run_id):  # before the run is touched: another process may be training it
        if data:
            write_record(folder, record.model_copy(update={"data_root": str(dataset.manifest.root)}))
        run = TrackedRun.go_on(run_id, parent=session.parent)
        run.keep(folder, session.terminal.say)
        with tracked_training(run, job, session.terminal, session.resume_command) as watch:
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
        dataset = _open(record.config, record.plan.image_size, terminal)
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


def source_of(config: TrainConfig) -> Source:
    """Where the images of a run are, and how they are split."""
    return Source(
        config.data, config.demo_images, config.val_fraction, config.test_fraction, config.data_seed, config.folds,
        0 if config.fold == "all" else config.fold,
    )  # fmt: skip


def _known_class(config: TrainConfig) -> None:
    """Refuse a healthy class that the data does not have before its images are decoded; other problems come then."""
    problems: list[str] = []
    if config.healthy != AUTO:
        manifest = read(source_of(config), cache.folder_of(config.cache_dir), problems)
        if not problems:
            find_healthy(config.healthy, manifest.classes)


def _open(config: TrainConfig, size: int, terminal: Terminal) -> Dataset:
    source = source_of(config)
    with terminal.working() as working:
        dataset = open_dataset(source, size, cache.folder_of(config.cache_dir), working)
    if source.folds > 1:
        terminal.say(f"Fold {source.fold} of {source.folds} (from 0) is the test; the splits of the data are not used.")
    show_dataset(dataset, terminal)
    return dataset


def carry_out(run: TrackedRun, job: fit.Job, session: Session, watch: Watch, *, fresh: bool) -> Results:
    """Train, judge and report; a run that is not ``fresh`` goes on from the state in its folder."""
    terminal = session.terminal
    cache_dir = cache.folder_of(job.config.cache_dir)
    timings = Timings(cache_dir, terminal.say, watch.beat)
    if fresh:
        job = replace(job, plan=_choose_execution(job, cache_dir, watch, terminal))
        job = replace(job, plan=plan_memory(job, cache_dir))
    model = fit.build_model(job)
    if fresh:
        job = replace(job, plan=fit.choose_compile(job, model, timings))
        record_run(run, job)
    show_plan(job, terminal)
    if job.config.head == "probe" and not state.exists(job.folder):
        fitted = _fit_probe(job, model, watch, terminal)
        run.params(fitted.described())
    reporter = Reporter(terminal, run, job)
    with terminal.training(job.plan.epochs), fit.indeterminism_explained(job):
        position = fit.fit(job, model, watch, reporter)
        del model
        job = replace(job, plan=read_record(job.folder, run.id).plan)  # as corrected, and as a resume would judge it
        write_measured(job, position, cache_dir)
        with fit.out_of_memory_explained(job):
            results = conclude(job, position, watch, reporter)
    show_refit(job, results, terminal)
    watch.alive()
    make_report(subject_of(run.id, job, results), job.folder, terminal, watch.beat)
    watch.alive()
    _publish(run, job, results)
    terminal.results(results)
    return results


def _choose_execution(job: fit.Job, cache_dir: Path, watch: Watch, terminal: Terminal) -> Plan:
    """`fit.choose_execution`, with signs of life."""
    steps = count()
    with terminal.working() as progress:

        def beat() -> None:
            watch.beat()
            progress("timed steps", next(steps), fit.most_timed(job))

        return fit.choose_execution(job, Timings(cache_dir, terminal.say, beat))


def _fit_probe(job: fit.Job, model: nn.Module, watch: Watch, terminal: Terminal) -> FittedProbe:
    """Fit the head, with signs of life, and say what it has come to."""
    images = len(job.indices("train"))
    terminal.say(f"Fitting the last layer on frozen features of {images} images; nothing is saved until it is done.")
    with terminal.working() as working, fit.out_of_memory_explained(job):

        def told(what: str, done: int, total: int) -> None:
            watch.beat()
            working(what, done, total)

        fitted = fit_probe(job, model, told)
    _say_probe(fitted, images, terminal)
    return fitted


def _say_probe(fitted: FittedProbe, images: int, terminal: Terminal) -> None:
    strengths = " and ".join(f"{strength:g}" for strength in fitted.head.strengths)
    others = " and ".join(f"{loss:.3f} {way}" for way, loss in fitted.losses.items() if way != fitted.batch_norm)
    judged = "not cross-validated, since some class has too few groups"
    if fitted.losses:
        judged = f"balanced log-loss {fitted.losses[fitted.batch_norm]:.3f} in cross-validation by group"
    terminal.say(
        f"Linear probe: fitted on the frozen features of {images} images (C = {strengths}; {judged})."
        + (f" Batch statistics: {fitted.batch_norm} (the log-loss is {others})." if others else "")
    )


def record_run(run: TrackedRun, job: fit.Job) -> None:
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


def _tags(job: fit.Job) -> dict[str, Any]:
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


def _audit_tags(report: AuditReport | None) -> dict[str, str]:
    if report is None:
        return {"fracture.audit": "off"}
    return {"fracture.audit": report.verdict, "fracture.confounded": str(report.confounded).lower()}


def _publish(run: TrackedRun, job: fit.Job, results: Results) -> None:
    """Metrics, description and evidence of a finished run."""
    run.judged(results)
    best = results.history[results.best_epoch - 1]
    chosen = {f"best_{name}": value for name, value in best.items() if name.startswith("val_")}
    run.metrics(chosen | {"best_epoch": results.best_epoch}, step=0)
    run.tag({"fracture.weights_sha256": results.weights_sha256})
    plan = job.plan.model_dump(exclude={"reasons", "recipe"})
    run.describe(summary(results, {key: str(value) for key, value in plan.items()}, job.weights.license))


def _changes(job: fit.Job) -> dict[str, str]:
    """The settings that differ from their defaults and from what the recipe chose."""
    return {name: value for name, value in changed(job.config).items() if name not in (*job.plan.recipe, "resume")}


def _name(config: TrainConfig, given: TrainConfig, backbone: backbones.Backbone, data: str) -> str:
    """What was given of what tells runs apart, then model and data: MLflow's table of runs cuts a name short."""
    values, usual = as_text(given), defaults()
    values["weights"] = Path(values["weights"]).name
    first = [f"{word} {values[name]}" for name, word in _IN_NAMES.items() if values[name] != usual[name]]
    probed = ["linear probe"] if config.head == "probe" else []
    model = f"{backbone.nickname.split('.')[0]} on {data}"
    epochs = [counted(int(values["epochs"]), "epoch")] if values["epochs"] != usual["epochs"] else []
    return ", ".join([*first, *probed, model, *epochs])
