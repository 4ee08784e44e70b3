"""What runs fastest on this machine, by timing steps of the model itself: the memory format, and torch.compile."""

import contextlib
import copy
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn
from torch.nn import functional

from fracture.files import write_json
from fracture.training.compiled import Compiled
from fracture.training.execution import FORMATS, Plan, hardware

Forward = Callable[[torch.Tensor], torch.Tensor]
Say = Callable[[str], None]  # takes a line for the user

COMPILING = {"cuda": 60.0, "cpu": 180.0}  # seconds it may take; it is tried where that is `SHARE` of a run at most
SHARE = 0.02
TOLERANCE = 0.02  # by which the loss of a faster step may differ, as a share of it or of that of a guess
ROOM = 0.9  # of the memory limit: a compiled step may take more than was predicted of the model as it is
_TIMED_IMAGES = 2  # enough to tell the formats apart, few enough for a slow processor, and where no more fit on a GPU
_ROUNDS = 3  # the first to warm up
TIMED_STEPS = _ROUNDS * len(FORMATS)  # of one precision, at most
_HOPELESS, _SOON = 3.0, 1.0  # a first step of so many times the other's, and of more seconds, is the only one
_WORTH = 0.95  # of the other's time, which a choice must take less than
_CLEARLY = 0.9  # the same for fp32 against bf16, which takes half the memory
_CLASSES = 3  # whose guess loses log(3); what is compared is two ways to compute one loss


class Timings:
    """What was measured on this machine, kept in ``timings.json`` of a folder: nothing is measured twice."""

    def __init__(self, folder: Path, say: Say, beat: Callable[[], object] = lambda: None) -> None:
        """Keep it in ``folder``; ``say`` is told of what takes a while, ``beat`` is called before each step."""
        self._folder, self._file, self.say, self.beat = folder, folder / "timings.json", say, beat
        self._said = False

    def get(self, key: str) -> dict[str, float]:
        """What is remembered under ``key``, empty where nothing is."""
        return self._read().get(key, {})

    def remembered(self, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """What is remembered under ``key``, measured where nothing is."""
        if found := self.get(key):
            return found
        if not self._said:
            self.say("Timing a few steps on this machine, once for this backbone and image size; it can take a minute.")
            self._said = True
        return self.keep(key, measure())

    def keep(self, key: str, found: dict[str, float]) -> dict[str, float]:
        """Remember ``found``, unless another process has measured meanwhile: the first stays, and is returned."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "timings.json.lock"):
            known = {key: found} | self._read()
            write_json(self._file, known)
        return known[key]

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return {}


def with_memory_format(plan: Plan, model: nn.Module, name: str, timings: Timings) -> Plan:
    """The plan with the faster memory format, timed on this machine or remembered from the last time.

    Raises:
        torch.OutOfMemoryError: not even two images fit.
    """
    seconds = _timed(plan, model, name, timings)
    faster = "channels_last" if seconds["channels_last"] < _WORTH * seconds["contiguous"] else "contiguous"
    ratio = seconds["contiguous"] / seconds["channels_last"]
    reason = f"channels_last runs at {ratio:.2f} of the speed of contiguous here"
    return plan.model_copy(update={"memory_format": faster, "reasons": plan.reasons | {"memory_format": reason}})


def with_precision(plan: Plan, model: nn.Module, name: str, timings: Timings, any_format: bool) -> Plan:
    """The plan, in bf16, with fp32 in its place where that is clearly faster here or bf16 gives another loss.

    Args:
        plan: in bf16, which was not given by name.
        model: of the run; left as it is.
        name: of the backbone.
        timings: of this machine.
        any_format: whether the memory format may be chosen too; else it is the plan's.

    Raises:
        torch.OutOfMemoryError: not even two images fit.
    """
    plain = plan.model_copy(update={"precision": "fp32"})
    half, full = (_timed(one, model, name, timings) for one in (plan, plain))
    formats = list(FORMATS) if any_format else [plan.memory_format]
    ratio = min(half[one] for one in formats) / min(full[one] for one in formats)
    if not _agree(half["loss"], full["loss"]):
        reason = f"bf16 gives another loss here, {half['loss']:.4g}, not {full['loss']:.4g}"
    elif ratio * _CLEARLY > 1:
        reason = f"fp32 runs at {ratio:.2f} of the speed of bf16 here"
    else:
        reason = f"{plan.reasons['precision']}; fp32 runs at {ratio:.2f} of its speed here"
        return plan.model_copy(update={"reasons": plan.reasons | {"precision": reason}})
    return plain.model_copy(update={"reasons": plan.reasons | {"precision": reason}})


def with_compile(plan: Plan, model: nn.Module, name: str, timings: Timings, wanted: bool | str, steps: int) -> Plan:
    """The plan with torch.compile where it is wanted and works, or, by itself, where it pays.

    Args:
        plan: with the memory format chosen.
        model: of the run; left as it is.
        name: of the backbone.
        timings: of this machine.
        wanted: true, false, or ``auto``: where the run is long enough, there is room in memory, and the steps are
            faster with the same loss.
        steps: optimiser steps of the run, at most.
    """
    if wanted is False:
        return plan
    if wanted == "auto" and (why := _not_tried(plan)):
        return _because(plan, why)
    key = f"compiled step, {plan.micro_batch} images, {plan.memory_format}, {_key(plan, name)}"
    found = timings.get(key)
    if wanted == "auto":
        step = found.get("eager") or _step_seconds(model, plan, name, timings)
        seconds = steps * plan.accumulation * step
        if seconds * SHARE < COMPILING[plan.device] + 2 * _ROUNDS * step:  # also where it is known to be faster
            return _because(plan, f"not tried, as a run of some {_duration(seconds)} is too short for it to pay")
    if not found:
        timings.say(
            "Trying torch.compile on one batch, which may take some minutes; the result is remembered for this machine."
        )
        found = _try_compile(model, plan)
        if found["compiled"] > 0:  # Ctrl-C ends the compiler too, which says nothing about the next time
            found = timings.keep(key, found)
    works = found["compiled"] > 0 and _agree(found["loss_compiled"], found["loss"])
    if not works:
        told = (
            "failed"
            if found["compiled"] <= 0
            else f"gives another loss, {found['loss_compiled']:.4g}, not {found['loss']:.4g}"
        )
        return _because(plan, f"{told}, so steps run without it")
    ratio = found["eager"] / found["compiled"]
    plan = _because(plan, f"a step runs at {ratio:.2f} of the speed without it")
    return plan.model_copy(update={"compiled": wanted is True or ratio * _WORTH > 1})


def _not_tried(plan: Plan) -> str:
    """Why torch.compile is not tried by itself, empty where it is."""
    if plan.checkpointing:
        return "not tried with checkpointing"
    if plan.memory_limit_gib and (plan.memory_gib or 0.0) > ROOM * plan.memory_limit_gib:
        return f"not tried, as the plan fills more than {ROOM:.0%} of the memory limit"
    if plan.device == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++", "cl"))):
        return "not tried, as there is no C++ compiler"
    return ""


def _step_seconds(model: nn.Module, plan: Plan, name: str, timings: Timings) -> float:
    """Seconds of a step of a micro-batch as it is; on a processor from those of two images, which are soon measured."""
    if plan.device == "cuda":
        return _time_eager(model, plan)
    return _timed(plan, model, name, timings)[plan.memory_format] * plan.micro_batch / _TIMED_IMAGES


def _duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} min"


def _agree(loss: float, other: float) -> bool:
    """Whether two ways to compute a step come to the same loss, within `TOLERANCE`."""
    return abs(loss - other) <= TOLERANCE * max(abs(other), math.log(_CLASSES))


def _because(plan: Plan, reason: str) -> Plan:
    return plan.model_copy(update={"reasons": plan.reasons | {"compile": reason}})


def _key(plan: Plan, name: str) -> str:
    machine = f"{hardware(plan.device)}, {plan.threads} threads, torch {torch.__version__}"
    return f"{name}, {plan.image_size} px, {plan.precision}, {plan.device}, {machine}"


def _timed(plan: Plan, model: nn.Module, name: str, timings: Timings) -> dict[str, float]:
    """Seconds of a step in each memory format, under the plan's precision, and its loss."""
    images = "" if plan.device == "cpu" else f" of {plan.micro_batch} images"

    return timings.remembered(
        f"{_key(plan, name)}, with its loss{images}", lambda: _time_formats(model, plan, timings.beat)
    )


def _time_formats(model: nn.Module, plan: Plan, beat: Callable[[], object]) -> dict[str, float]:
    """Seconds of a forward and backward pass in each format, on copies of the model, and the loss of the first.

    The best of several rounds in turn, after one to warm up, so that a passing load on the machine hits both alike.
    What was hopeless in the first is not tried again.
    """
    if plan.device == "cuda":  # a few images leave it waiting for the processor, which tells nothing of a whole batch
        with contextlib.suppress(torch.OutOfMemoryError):
            return _time_formats_on(model, plan, max(plan.micro_batch, _TIMED_IMAGES), beat)
        torch.cuda.empty_cache()
    return _time_formats_on(model, plan, _TIMED_IMAGES, beat)


def _time_formats_on(model: nn.Module, plan: Plan, images: int, beat: Callable[[], object]) -> dict[str, float]:
    plans = {name: plan.model_copy(update={"memory_format": name}) for name in FORMATS}
    twins = {name: trial.place(copy.deepcopy(model)).train() for name, trial in plans.items()}
    pixels = _pixels(plan, images)
    steps: dict[str, list[tuple[float, float]]] = {name: [] for name in plans}
    for _ in range(_ROUNDS):
        torch.manual_seed(0)
        for name in _worth_a_round({name: one[0][0] for name, one in steps.items() if one}) or plans:
            beat()
            steps[name].append(_one_step(twins[name], plans[name], pixels.contiguous(memory_format=plans[name].format)))
    seconds = {name: min(taken for taken, _ in (one[1:] or one)) for name, one in steps.items()}
    return seconds | {"loss": steps["contiguous"][0][1]}


def _worth_a_round(first: Mapping[str, float]) -> list[str]:
    """What may still turn out to be the fastest, by the seconds of its first step."""
    least = min(first.values(), default=0.0)
    return [name for name, taken in first.items() if taken <= max(_HOPELESS * least, _SOON)]


def _time_eager(model: nn.Module, plan: Plan) -> float:
    twin, pixels = plan.place(copy.deepcopy(model)).train(), _pixels(plan, plan.micro_batch)
    return min(_one_step(twin, plan, pixels)[0] for _ in range(_ROUNDS))


def _try_compile(model: nn.Module, plan: Plan) -> dict[str, float]:
    """Seconds and loss of a step as it is and compiled, on copies of the model; 0 seconds where it cannot be.

    The best of several rounds in turn, so that a passing load on the machine hits both alike.
    """
    pixels = _pixels(plan, plan.micro_batch)
    eager, twin = (plan.place(copy.deepcopy(model)).train() for _ in range(2))
    compiled = Compiled(twin, plan.micro_batch)
    rounds = []
    for number in range(_ROUNDS):
        steps = []
        for forward in (eager, compiled):
            if number == 0:  # one seed for the losses that are compared
                torch.manual_seed(0)
            steps.append(_one_step(forward, plan, pixels))
        rounds.append(steps)
    (_, loss), (_, loss_compiled) = rounds[0]
    seconds, fast = (min(steps[at][0] for steps in rounds[1:]) for at in range(2))
    if compiled.problem or not math.isfinite(loss_compiled):
        fast, loss_compiled = 0.0, 0.0
    return {"eager": seconds, "compiled": fast, "loss": loss, "loss_compiled": loss_compiled}


def _pixels(plan: Plan, images: int) -> torch.Tensor:
    generator = torch.Generator(plan.device).manual_seed(0)
    side = plan.image_size
    pixels = torch.rand(images, 3, side, side, device=plan.device, generator=generator)
    return pixels.contiguous(memory_format=plan.format)


def _one_step(model: Forward, plan: Plan, pixels: torch.Tensor) -> tuple[float, float]:
    """Seconds of a forward and backward pass, and the loss."""
    if plan.device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    with plan.autocast():
        logits = model(pixels)
    labels = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
    loss = functional.cross_entropy(logits.float(), labels)
    loss.backward()
    if plan.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, float(loss.detach())
