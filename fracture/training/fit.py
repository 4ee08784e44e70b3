"""The story of one run: epochs until it is over, the best one kept, the state saved after each."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fracture import heap
from fracture.errors import DivergedError, Interrupted, MemoryLimitError
from fracture.files import replacing
from fracture.models import checkpoint
from fracture.training import engine, state
from fracture.training.execution import (
    Plan,
    apply_determinism,
    apply_threads,
    peak_allocated_gib,
    peak_memory_gib,
    reset_peak_memory,
)
from fracture.training.explain import no_memory, out_of_memory_explained
from fracture.training.feed import Feed
from fracture.training.job import Job, Listener, build_model
from fracture.training.learner import Learner
from fracture.training.memory.card import Card
from fracture.training.memory.correct import corrected
from fracture.training.memory.limit import find_limit, hold
from fracture.training.memory.shortage import is_out_of_memory
from fracture.training.selection import check_selection, validation_metrics
from fracture.training.state import Position
from fracture.training.timing import TIMED_STEPS, Timings, with_compile, with_memory_format, with_precision
from fracture.training.watch import Watch

BEST, _ANSWERS = "best.pth", "validation.npz"
Logits = npt.NDArray[np.float32]


def choose_execution(job: Job, timings: Timings) -> Plan:
    """The job's plan with the precision and the memory format that run fastest here, unless the user has chosen.

    Before the memory plan is made, since the precision decides what fits.

    Raises:
        MemoryLimitError: not even two images fit.
    """
    plan, config, name = job.plan, job.config, job.backbone.name
    any_format, any_precision = config.memory_format == "auto", config.precision == "auto" and plan.precision == "bf16"
    if not any_format and not any_precision:
        return plan
    apply_threads(plan)
    apply_determinism(config.deterministic)  # cuBLAS reads its setting when it is first used
    hold_limit(plan, config.memory_limit_gib)
    with out_of_memory_explained(job):
        model = build_model(job)
        if any_precision:
            plan = with_precision(plan, model, name, timings, any_format)
        return with_memory_format(plan, model, name, timings) if any_format else plan


def most_timed(job: Job) -> int:
    """How many steps `choose_execution` times at most."""
    return TIMED_STEPS * (2 if job.config.precision == "auto" and job.plan.precision == "bf16" else 1)


def hold_limit(plan: Plan, wanted: float | str) -> None:
    """Have torch refuse what is over the limit, on a GPU; ``wanted`` as `find_limit` takes it."""
    if plan.device == "cuda":
        hold(find_limit(wanted, plan.device).gib, plan.card or Card())


def choose_compile(job: Job, model: torch.nn.Module, timings: Timings) -> Plan:
    """The job's plan, with memory planned, and torch.compile where it pays or is wanted."""
    if not job.learns:
        return job.plan
    apply_threads(job.plan)
    steps = _batches(job) * job.plan.epochs
    with out_of_memory_explained(job):
        return with_compile(job.plan, model, job.backbone.name, timings, job.config.compile, steps)


def fit(job: Job, model: torch.nn.Module, watch: Watch, listener: Listener) -> Position:
    """Train until the last epoch, early stopping, or an interruption; ``job.folder`` then holds the best weights.

    Raises:
        DataError: validation cannot tell ``select_metric``.
        Interrupted: a signal stopped it and the state is saved, or the disk has no room; the same call goes on.
        MemoryLimitError: the batch does not fit.
        DivergedError: the loss is not finite.
    """
    check_selection(job.config.select_metric, job.dataset.labels[job.indices("val")], job.healthy_at)
    apply_threads(job.plan)
    apply_determinism(job.config.deterministic)
    reset_peak_memory(job.plan.device)
    hold_limit(job.plan, job.plan.memory_limit_gib or "auto")
    train = job.indices("train")
    with out_of_memory_explained(job):
        learner = _learner(job, model)
        position = state.load(job.folder, learner)
        feed = Feed(job.dataset, train, job.plan)
    state.check_space(job.folder, learner)
    listener.started(job, _batches(job), position)
    began = time.monotonic() - position.seconds
    try:
        while not is_over(position, job):
            heap.give_back()  # batches of other sizes have left holes, which the next ones would not fit
            best, shortage = _try_epoch(job, learner, position, feed, watch, listener)
            position.seconds = time.monotonic() - began
            if shortage:  # the failed step's tensors are gone with its exception
                job = _correct(job, learner, position, shortage, listener)
                continue
            state.save(job.folder, learner, position)  # before anyone is told: a listener may fail
            listener.epoch(position.epoch, position.history[-1], best)
            watch.beat()
    except Interrupted:
        position.seconds = time.monotonic() - began
        watch.alive()
        state.save(job.folder, learner, position)
        raise
    return position


def begin_at(job: Job, position: Position) -> None:
    """Write the state of a run that begins with the best weights in ``job.folder``, as after ``position``'s epochs.

    The optimiser begins anew; the learning rate is where the schedule has it by then.
    """
    apply_threads(job.plan)
    model = build_model(job)
    model.load_state_dict(torch.load(job.folder / BEST, map_location="cpu", weights_only=True))
    learner = _learner(job, model)
    learner.schedule.move_to(max(0, position.epoch - learner.has_probe) * _batches(job))
    state.save(job.folder, learner, position)


def _batches(job: Job) -> int:
    """Batches of an epoch."""
    return len(engine.order(job.indices("train"), job.config.batch_size, 0, 0))


def _learner(job: Job, model: torch.nn.Module) -> Learner:
    counts = np.bincount(job.dataset.labels[job.indices("train")], minlength=len(job.dataset.classes))
    return Learner(model, job.config, job.plan, job.normalize, counts, _batches(job))


def is_over(position: Position, job: Job) -> bool:
    """Whether all epochs are done, or none was better for ``early_stop_patience`` epochs."""
    best = position.best(job.config.select_metric)
    patience = job.config.early_stop_patience
    stale = best is not None and patience > 0 and position.epoch - (best + 1) >= patience
    return position.epoch >= job.plan.epochs or stale


def _try_epoch(
    job: Job, learner: Learner, position: Position, feed: Feed, watch: Watch, listener: Listener
) -> tuple[bool, str]:
    """As `_epoch`, and what did not fit into memory where it came to that."""
    try:
        return _epoch(job, learner, position, feed, watch, listener), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False, no_memory(job, error)


def _correct(job: Job, learner: Learner, position: Position, shortage: str, listener: Listener) -> Job:
    """The job under a plan that takes less; the state is saved, so that the same steps are made under the same plan.

    Raises:
        MemoryLimitError: there is no such plan, or this one was corrected before.
    """
    plan = corrected(job.plan, learner)
    if plan is None:
        raise MemoryLimitError(shortage)
    learner.replan(plan)
    job = replace(job, plan=plan)
    state.save(job.folder, learner, position)
    listener.corrected(job, shortage.splitlines()[0])
    return job


def _epoch(job: Job, learner: Learner, position: Position, feed: Feed, watch: Watch, listener: Listener) -> bool:
    """One epoch, from wherever ``position`` is in it; returns whether it is the best so far."""

    def tick(phase: str, done: int, total: int) -> None:
        listener.batch(phase, done, total, position)
        watch.beat()

    batches = engine.order(job.indices("train"), job.config.batch_size, job.config.seed, position.epoch)
    if learner.has_probe and position.epoch == 0:  # nothing is learned: as many as validation has tell the loss
        batches = batches[: -(-len(job.indices("val")) // job.config.batch_size)]
    engine.train_epoch(learner, feed, batches, position, lambda done, total: tick("train", done, total))
    metrics, answers = _validate(job, learner, position, lambda done, total: tick("val", done, total))
    learner.schedule.after_epoch(metrics["val_loss"])
    position.history.append(metrics)
    position.epoch += 1
    position.start_epoch()
    best = position.best(job.config.select_metric) == position.epoch - 1
    if best:
        _save_best(job, learner, position.epoch, answers)
    return best


def _validate(job: Job, learner: Learner, position: Position, tick: engine.Tick) -> tuple[dict[str, float], Logits]:
    """The metrics of the epoch under way, and the answers to validation."""
    began = time.perf_counter()
    val = job.indices("val")
    logits = engine.predict(learner.evaluated, job.plan, job.normalize, job.dataset, val, tick)
    if not np.isfinite(logits).all():
        broken = val[~np.isfinite(logits).all(axis=1)][:16]
        raise DivergedError(engine.not_finite("the answer on validation", job.dataset, broken))
    metrics = {
        "train_loss": position.loss_sum / position.seen,
        "train_accuracy": position.correct / position.seen,
        **validation_metrics(logits, job.dataset.labels[val], job.dataset.classes, job.healthy_at),
        "lr": learner.lr,
        "epoch_seconds": position.train_seconds + time.perf_counter() - began,
        "images_per_second": position.seen / position.train_seconds,
        "peak_memory_gib": peak_memory_gib(job.plan.device),
        **peak_allocated_gib(job.plan.device),
    }
    return metrics, logits


def _save_best(job: Job, learner: Learner, epoch: int, answers: Logits) -> None:
    weights = learner.evaluated.state_dict()
    sidecar = checkpoint.Sidecar(
        model=job.backbone.name,
        classes=job.dataset.classes,
        healthy=job.healthy,
        image_size=job.plan.image_size,
        scales=job.scales,
        mean=job.backbone.mean,
        std=job.backbone.std,
        parameters=sum(p.numel() for p in learner.evaluated.parameters()),
        weights_sha256=checkpoint.weights_sha256(weights),
        epoch=epoch,
        synthetic=job.dataset.manifest.synthetic,
        license=job.weights.license,
    )
    checkpoint.save(job.folder / BEST, weights, sidecar)
    with replacing(job.folder / _ANSWERS) as part, part.open("wb") as file:
        np.savez(file, logits=answers, weights_sha256=sidecar.weights_sha256)


def validation_answers(folder: Path, weights_sha256: str) -> Logits | None:
    """Logits [images, classes] that the best weights gave to validation when they were saved; None where unknown."""
    path = folder / _ANSWERS
    if not path.is_file():  # an earlier version saved the weights, or they are those of another run
        return None
    with np.load(path) as kept:
        return np.asarray(kept["logits"], np.float32) if str(kept["weights_sha256"]) == weights_sha256 else None
