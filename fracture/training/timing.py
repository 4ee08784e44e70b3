"""What runs fastest on this machine, by timing steps of the model itself: the memory format, and torch.compile."""

import contextlib
import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn
from torch.nn import functional

from fracture.files import write_json
from fracture.training.compiled import Compiled
from fracture.training.execution import FORMATS, Plan, hardware

Forward = Callable[[torch.Tensor], torch.Tensor]

COMPILING = 60.0  # seconds that compiling may take; it is tried where that is `SHARE` of a run at most
SHARE = 0.02
TOLERANCE = 0.02  # by which the loss of a faster step may differ, as a share of it or of that of a guess
ROOM = 0.9  # of the memory limit: a compiled step may take more than was predicted of the model as it is
_TIMED_IMAGES = 2  # enough to tell the formats apart, few enough for a slow processor, and where no more fit on a GPU
_ROUNDS = 3  # the first to warm up
_WORTH = 0.95  # of the other's time, which a choice must take less than
_CLEARLY = 0.9  # the same for fp32 against bf16, which takes half the memory
_CLASSES = 3  # whose guess loses log(3); what is compared is two ways to compute one loss


def with_memory_format(plan: Plan, model: nn.Module, name: str, cache_dir: Path) -> Plan:
    """The plan with the faster memory format, timed on this machine or remembered from the last time.

    Raises:
        torch.OutOfMemoryError: not even two images fit.
    """
    seconds = _timed(plan, model, name, cache_dir)
    faster = "channels_last" if seconds["channels_last"] < _WORTH * seconds["contiguous"] else "contiguous"
    ratio = seconds["contiguous"] / seconds["channels_last"]
    reason = f"channels_last runs at {ratio:.2f} of the speed of contiguous here"
    return plan.model_copy(update={"memory_format": faster, "reasons": plan.reasons | {"memory_format": reason}})


def with_precision(plan: Plan, model: nn.Module, name: str, cache_dir: Path, any_format: bool) -> Plan:
    """The plan, in bf16, with fp32 in its place where that is clearly faster here or bf16 gives another loss.

    Args:
        plan: in bf16, which was not given by name.
        model: of the run; left as it is.
        name: of the backbone.
        cache_dir: where timings are remembered.
        any_format: whether the memory format may be chosen too; else it is the plan's.

    Raises:
        torch.OutOfMemoryError: not even two images fit.
    """
    plain = plan.model_copy(update={"precision": "fp32"})
    half, full = (_timed(one, model, name, cache_dir) for one in (plan, plain))
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


def with_compile(plan: Plan, model: nn.Module, name: str, cache_dir: Path, wanted: bool | str, steps: int) -> Plan:
    """The plan with torch.compile where it is wanted and works, or, by itself, where it pays.

    Args:
        plan: with the memory format chosen.
        model: of the run; left as it is.
        name: of the backbone.
        cache_dir: where timings are remembered.
        wanted: true, false, or ``auto``: on a GPU, where the run is long enough, there is room in memory, and the steps
            are faster with the same loss.
        steps: optimiser steps of the run, at most.
    """
    if wanted is False:
        return plan
    if wanted == "auto" and (why := _not_tried(plan)):
        return _because(plan, why) if plan.device == "cuda" else plan
    key = f"compiled step, {plan.micro_batch} images, {plan.memory_format}, {_key(plan, name)}"
    found = _read(cache_dir).get(key, {})
    if wanted == "auto":
        seconds = steps * plan.accumulation * (found.get("eager") or _time_eager(model, plan))
        if seconds * SHARE < COMPILING:  # also where a longer run has found out that it would be faster
            return _because(plan, f"not tried, as a run of some {seconds / 60:.0f} minutes is too short for it to pay")
    if not found:
        found = _try_compile(model, plan)
        if found["compiled"] > 0:  # Ctrl-C ends the compiler too, which says nothing about the next time
            found = _remembered(cache_dir, key, found.copy)
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
    if plan.device != "cuda":
        return "not on a processor"  # compiling takes minutes there, and of four backbones one gained (docs/speed.md)
    if plan.checkpointing:
        return "not tried with checkpointing"
    if plan.memory_limit_gib and (plan.memory_gib or 0.0) > ROOM * plan.memory_limit_gib:
        return f"not tried, as the plan fills more than {ROOM:.0%} of the memory limit"
    return ""


def _agree(loss: float, other: float) -> bool:
    """Whether two ways to compute a step come to the same loss, within `TOLERANCE`."""
    return abs(loss - other) <= TOLERANCE * max(abs(other), math.log(_CLASSES))


def _because(plan: Plan, reason: str) -> Plan:
    return plan.model_copy(update={"reasons": plan.reasons | {"compile": reason}})


def _key(plan: Plan, name: str) -> str:
    machine = f"{hardware(plan.device)}, {plan.threads} threads, torch {torch.__version__}"
    return f"{name}, {plan.image_size} px, {plan.precision}, {plan.device}, {machine}"


def _remembered(cache_dir: Path, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What is remembered under a key, measured where it is not."""
    known = _read(cache_dir)
    if key not in known:
        found = measure()
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / "timings.json.lock"):  # others may have measured meanwhile: the first stays
            known = {key: found} | _read(cache_dir)
            write_json(cache_dir / "timings.json", known)
    return known[key]


def _read(cache_dir: Path) -> dict[str, dict[str, float]]:
    try:
        return dict(json.loads((cache_dir / "timings.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _timed(plan: Plan, model: nn.Module, name: str, cache_dir: Path) -> dict[str, float]:
    """Seconds of a step in each memory format, under the plan's precision, and its loss."""
    images = "" if plan.device == "cpu" else f" of {plan.micro_batch} images"
    return _remembered(cache_dir, f"{_key(plan, name)}, with its loss{images}", lambda: _time_formats(model, plan))


def _time_formats(model: nn.Module, plan: Plan) -> dict[str, float]:
    """Seconds of a forward and backward pass in each format, on copies of the model, and the loss of the first.

    The best of several rounds in turn, after one to warm up, so that a passing load on the machine hits both alike.
    """
    if plan.device == "cuda":  # a few images leave it waiting for the processor, which tells nothing of a whole batch
        with contextlib.suppress(torch.OutOfMemoryError):
            return _time_formats_on(model, plan, max(plan.micro_batch, _TIMED_IMAGES))
        torch.cuda.empty_cache()
    return _time_formats_on(model, plan, _TIMED_IMAGES)


def _time_formats_on(model: nn.Module, plan: Plan, images: int) -> dict[str, float]:
    plans = {name: plan.model_copy(update={"memory_format": name}) for name in FORMATS}
    twins = {name: trial.place(copy.deepcopy(model)).train() for name, trial in plans.items()}
    pixels = _pixels(plan, images)
    rounds = []
    for _ in range(_ROUNDS):
        torch.manual_seed(0)
        rounds.append(
            {
                name: _one_step(twins[name], trial, pixels.contiguous(memory_format=trial.format))
                for name, trial in plans.items()
            }
        )
    seconds = {name: min(one[name][0] for one in rounds[1:]) for name in plans}
    return seconds | {"loss": rounds[0]["contiguous"][1]}


def _time_eager(model: nn.Module, plan: Plan) -> float:
    twin, pixels = plan.place(copy.deepcopy(model)).train(), _pixels(plan, plan.micro_batch)
    return min(_one_step(twin, plan, pixels)[0] for _ in range(_ROUNDS))


def _try_compile(model: nn.Module, plan: Plan) -> dict[str, float]:
    """Seconds and loss of a step as it is and compiled, on copies of the model; 0 seconds where it cannot be."""
    pixels, twin = _pixels(plan, plan.micro_batch), plan.place(copy.deepcopy(model)).train()
    seconds, loss = _rounds(twin, plan, pixels)
    forward = Compiled(plan.place(copy.deepcopy(model)).train(), plan.micro_batch)
    fast, loss_compiled = _rounds(forward, plan, pixels)
    if forward.problem or not math.isfinite(loss_compiled):
        fast, loss_compiled = 0.0, 0.0
    return {"eager": seconds, "compiled": fast, "loss": loss, "loss_compiled": loss_compiled}


def _rounds(forward: Forward, plan: Plan, pixels: torch.Tensor) -> tuple[float, float]:
    """Seconds of the best of some steps, and the loss of the first, from one seed."""
    torch.manual_seed(0)
    rounds = [_one_step(forward, plan, pixels) for _ in range(_ROUNDS)]
    return min(seconds for seconds, _ in rounds[1:]), rounds[0][1]


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
