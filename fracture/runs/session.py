"""One tracked run: from a configuration to its evidence in the store, begun afresh or taken up again."""

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from torch import nn

from fracture.config import TrainConfig
from fracture.data import cache
from fracture.data.audit.audit import write_report
from fracture.data.dataset import Dataset, Source, open_dataset, read, resized
from fracture.errors import ConfigError
from fracture.evidence import Results
from fracture.evidence.healthy import AUTO, find_healthy
from fracture.models import backbones
from fracture.models import weights as initial_weights
from fracture.progress import Terminal
from fracture.runs.audit import audit_before_training
from fracture.runs.describe import audit_tags, name_of, publish, record_run
from fracture.runs.lifetime import tracked_training
from fracture.runs.record import read_record
from fracture.runs.report import make_report
from fracture.runs.show import Reporter, show_dataset, show_healthy, show_plan, show_refit
from fracture.runs.states import held_state, state_folder
from fracture.runs.subject import subject_of
from fracture.tracking import store
from fracture.tracking.run import TrackedRun
from fracture.training import execution, fit, recipe, state
from fracture.training.conclude import conclude
from fracture.training.execution import Plan
from fracture.training.explain import indeterminism_explained, out_of_memory_explained
from fracture.training.head import FittedProbe, fit_probe
from fracture.training.job import Job, build_model
from fracture.training.memory.job import plan_memory, write_measured
from fracture.training.timing import Timings
from fracture.training.watch import Watch


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
    dataset = open_data(config, size, session.terminal)
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
    run = TrackedRun.begin(name_of(config, given, backbone, dataset.manifest.name), "train", parent=session.parent)
    job = Job(config, plan, backbone, weights, dataset, state_folder(run.id), healthy)
    with held_state(job.folder, run.id):
        state.clear(job.folder)  # only `resume` goes on from a state: that an id agrees is no reason
        run.keep(job.folder, session.terminal.say)
        with tracked_training(run, job, session.terminal, session.resume_command, session.parent) as watch:
            run.tag(audit_tags(report))
            if report is not None:
                write_report(report, job.folder / "audit.json")
            return carry_out(run, job, session, watch, fresh=True)


def _training_images(dataset: Dataset, config: TrainConfig) -> int:
    """Images of the training split; with folds their nominal number, so that every fold has the same recipe."""
    if config.folds == 1:
        return len(dataset.manifest.indices("train"))
    return round(len(dataset.manifest.rows) * (1 - 1 / config.folds - config.val_fraction))


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


def open_data(config: TrainConfig, size: int, terminal: Terminal) -> Dataset:
    """The data of a run, decoded, and shown."""
    source = source_of(config)
    with terminal.working() as working:
        dataset = open_dataset(source, size, cache.folder_of(config.cache_dir), working)
    if source.folds > 1:
        terminal.say(f"Fold {source.fold} of {source.folds} (from 0) is the test; the splits of the data are not used.")
    show_dataset(dataset, terminal)
    return dataset


def carry_out(run: TrackedRun, job: Job, session: Session, watch: Watch, *, fresh: bool) -> Results:
    """Train, judge and report; a run that is not ``fresh`` goes on from the state in its folder."""
    terminal = session.terminal
    cache_dir = cache.folder_of(job.config.cache_dir)
    timings = Timings(cache_dir, terminal.say, watch.beat)
    if fresh:
        job = replace(job, plan=_choose_execution(job, cache_dir, watch, terminal))
        job = replace(job, plan=plan_memory(job, cache_dir))
    model = build_model(job)
    if fresh:
        job = replace(job, plan=fit.choose_compile(job, model, timings))
        record_run(run, job)
    show_plan(job, terminal)
    if job.config.head == "probe" and not state.exists(job.folder):
        fitted = _fit_probe(job, model, watch, terminal)
        run.params(fitted.described())
    reporter = Reporter(terminal, run, job)
    with terminal.training(job.plan.epochs), indeterminism_explained(job):
        position = fit.fit(job, model, watch, reporter)
        del model
        job = replace(job, plan=read_record(job.folder, run.id).plan)  # as corrected, and as a resume would judge it
        write_measured(job, position, cache_dir)
        with out_of_memory_explained(job):
            results = conclude(job, position, watch, reporter)
    show_refit(job, results, terminal)
    watch.alive()
    make_report(subject_of(run.id, job, results), job.folder, terminal, watch.beat)
    watch.alive()
    publish(run, job, results)
    terminal.results(results)
    return results


def _choose_execution(job: Job, cache_dir: Path, watch: Watch, terminal: Terminal) -> Plan:
    """`fit.choose_execution`, with signs of life."""
    steps = count()
    with terminal.working() as progress:

        def beat() -> None:
            watch.beat()
            progress("timed steps", next(steps), fit.most_timed(job))

        return fit.choose_execution(job, Timings(cache_dir, terminal.say, beat))


def _fit_probe(job: Job, model: nn.Module, watch: Watch, terminal: Terminal) -> FittedProbe:
    """Fit the head, with signs of life, and say what it has come to."""
    images = len(job.indices("train"))
    terminal.say(f"Fitting the last layer on frozen features of {images} images; nothing is saved until it is done.")
    with terminal.working() as working, out_of_memory_explained(job):

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
