"""What a person is told about a run: the data, the plan, and how training goes on."""

from fracture.config import seeds
from fracture.data import cache
from fracture.data.dataset import Dataset
from fracture.data.manifest import SPLITS
from fracture.evidence import Results
from fracture.evidence.healthy import Healthy
from fracture.progress import Terminal
from fracture.runs.record import replan
from fracture.tables import counted
from fracture.tracking.run import TrackedRun
from fracture.training.execution import hardware
from fracture.training.job import Job
from fracture.training.memory.job import read_plan
from fracture.training.state import Position


def show_dataset(dataset: Dataset, terminal: Terminal) -> None:
    """The counts per split and class, the digests, and where the decoded images lie."""
    manifest, cached = dataset.manifest, dataset.cached
    if manifest.synthetic:
        terminal.warn("These images are SYNTHETIC: rendered, not radiographs. Scores on them have no medical meaning.")
    counts = manifest.counts()
    rows = [
        [split, *(str(counts[split][c]) for c in dataset.classes), str(sum(counts[split].values()))] for split in SPLITS
    ]
    groups = len({row.group for row in manifest.rows if row.group})
    title = f"Data: {manifest.name}, {len(manifest.rows)} images" + (f" of {groups} groups" if groups else "")
    terminal.table(title, ["split", *dataset.classes, "all"], rows)
    for note in manifest.notes:
        terminal.say(f"{note[0].upper()}{note[1:]}.")
    _, size = cache.usage(cached.folder)
    place = f"{cached.folder} ({size / 2**20:.1f} MiB, freed by `fracture cache --clear`)"
    terminal.say(
        f"Digest {manifest.digest()}, test split {manifest.digest('test')}. Decoded images "
        f"{'built' if cached.built else 'found'}: {place}."
    )


def show_healthy(found: Healthy, terminal: Terminal) -> str | None:
    """Say which class is healthy, as a warning where a person should look; returns its name."""
    (terminal.warn if found.doubted else terminal.say)(found.sentence)
    return found.name


def show_plan(job: Job, terminal: Terminal) -> None:
    """What is trained, from which weights, and what was chosen for this machine and why."""
    if job.weights.warning:
        terminal.warn(job.weights.warning)
    plan = job.plan
    terminal.say(
        f"Model: {job.backbone.name}, initial weights: {job.weights.description} (licence: {job.weights.license}). "
        + (_steps(job) if job.learns else "Only a linear probe is fitted, without optimiser steps; ")
        + f"{plan.image_size} px."
    )
    if job.weights.changes:
        terminal.say(f"Initial weights: {'; '.join(job.weights.changes)}.")
    _show_memory(job, terminal)
    usual = seeds()
    if told := [f"{name}={value}" for name, value in plan.recipe.items() if value != usual[name]]:
        terminal.say("Recipe: " + ", ".join(told) + ".")
    machine = f"{plan.device} ({hardware(plan.device)}), {plan.threads} threads"
    terminal.say(f"Plan: {machine}, {plan.precision}, {plan.memory_format}.")
    if plan.reasons:
        terminal.say("\n".join(["Why:", *(f"  {_reason(name, why)}" for name, why in plan.reasons.items())]))


def _reason(name: str, why: str) -> str:
    """Why a setting has its value; some say its name and value themselves."""
    return why if why.startswith(f"{name}=") else f"{name}: {why}"


def _steps(job: Job) -> str:
    plan, config = job.plan, job.config
    parts = f" in {plan.accumulation} micro-batches" if plan.accumulation > 1 else ""
    most = counted(plan.epochs, "epoch")
    return f"{config.optimizer}, lr {config.lr:g}, batch {config.batch_size}{parts}, at most {most}, "


def _show_memory(job: Job, terminal: Terminal) -> None:
    """What is predicted, what it is made of, and what fits."""
    plan, chosen = job.plan, read_plan(job.folder)
    if chosen is None or plan.memory_limit_gib is None:
        return
    parts = sorted(chosen.prediction.parts.items(), key=lambda part: -part[1])
    largest = ", ".join(f"{name} {size:.2f} GiB" for name, size in parts if size >= 0.005)
    twice = ", activations computed twice" if plan.checkpointing else ""
    terminal.say(
        f"Memory: {chosen.prediction.process_gib:.1f} GiB predicted for the process, limit {plan.memory_limit_gib:.1f} "
        f"GiB; {plan.micro_batch} images at once{twice}." + (f" Of this, tensors: {largest}." if largest else "")
    )


class Reporter:
    """Tells the screen and the tracker how training goes on; a `fracture.training.job.Listener`."""

    def __init__(self, terminal: Terminal, run: TrackedRun, job: Job) -> None:
        """Report on one job."""
        self._terminal, self._run, self._job = terminal, run, job
        self._train_images = len(job.indices("train"))
        self._last_epoch_seconds = 0.0

    def started(self, job: Job, batches: int, position: Position) -> None:
        """Show what was done in earlier sessions, and say where an interrupted run goes on."""
        self._terminal.earlier(position.history, position.bests(job.config.select_metric))
        logged = self._run.logged_steps("val_loss") if position.history else set()
        for number, metrics in enumerate(position.history, start=1):
            if number not in logged:  # saved, but the process ended before the store was told
                self._run.metrics(metrics, step=number)
        if position.epoch or position.batch:
            where = f"epoch {position.epoch + 1} of {job.plan.epochs}, after batch {position.batch} of {batches}"
            self._terminal.say(f"Going on in {where}.")

    def batch(self, phase: str, done: int, total: int, position: Position) -> None:
        """Pass a batch on to the display, with what is left."""
        speed = position.seen / position.train_seconds if position.train_seconds else 0.0
        here = (self._train_images - position.seen) / speed if phase == "train" and speed else 0.0
        each = self._last_epoch_seconds or (self._train_images / speed if speed else 0.0)
        after = max(0, self._job.plan.epochs - position.epoch - 1) * each
        self._terminal.batch(phase, position.epoch + 1, done, total, speed, (here, here + after))

    def corrected(self, job: Job, reason: str) -> None:
        """Say that the plan was changed, on the screen, on the run and in the settings that a resume reads."""
        plan = job.plan
        now = f"{plan.accumulation} micro-batches of {plan.micro_batch}" + (
            ", checkpointing" if plan.checkpointing else ""
        )
        self._terminal.warn(f"{reason} The plan is corrected, once, and the step tried again: {now}.")
        replan(job.folder, plan)
        self._run.tag({"fracture.memory_corrected": f"{now}: {reason}"})

    def epoch(self, number: int, metrics: dict[str, float], best: bool) -> None:
        """Show and log an epoch."""
        self._last_epoch_seconds = metrics["epoch_seconds"]
        self._run.metrics(metrics, step=number)
        self._terminal.epoch(number, metrics, best)


def show_refit(job: Job, results: Results, terminal: Terminal) -> None:
    """What the deployed head has learned from, or why it could not learn from validation as was wanted."""
    if results.refit:
        terminal.say(
            f"Head: fitted again on the {results.refit:,} images of training and validation together, which the test "
            "uses; figures of validation are of the head before that."
        )
    elif job.config.refit is True:
        ungrouped = "some class has too few groups for out-of-fold answers, on which decisions are fitted"
        tuned = f"epoch {results.best_epoch} has other weights than those that the head was fitted on"
        terminal.warn(f"refit=true: not done, because {ungrouped if results.best_epoch == 1 else tuned}.")
