"""The alternatives when nothing fits: what could be changed, cheapest first, each tried against the limit."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from math import ceil

from fracture.errors import ConfigError, MemoryLimitError
from fracture.models.backbones import find
from fracture.models.sizes import takes
from fracture.training.memory.plan import MemoryPlan, MemoryRequest, find_plan, options
from fracture.training.memory.predict import beside
from fracture.training.memory.spec import UnpredictableError

Change = Callable[[MemoryRequest], Iterator[tuple[str, MemoryRequest]]]

_SHOWN = 3
_TOGETHER = 2  # changes at once, at most


def require_plan(request: MemoryRequest) -> MemoryPlan:
    """As `find_plan`, for what must fit.

    Raises:
        MemoryLimitError: nothing fits; names the cheapest alternatives, each with its predicted peak.
        ConfigError: as `find_plan`.
    """
    found = find_plan(request)
    if found is None:
        raise MemoryLimitError(refusal(request))
    return found


def refusal(request: MemoryRequest) -> str:
    """What does not fit, how much it would need at least, and the cheapest ways out with their figures."""
    spec = request.spec
    least = _least(request)
    allowance = beside(spec)  # no change of the step gets below it
    found = list(_alternatives(request)) if request.limit_gib > allowance else []
    shown = [f"- {text}: {chosen.prediction.process_gib:.2f} GiB, {_how(chosen)}" for text, chosen in found]
    raised = ceil(10 * least) / 10
    if len(shown) < _SHOWN:
        shown.append(f"- memory_limit_gib={raised:g}, if this machine has it: {least:.2f} GiB")
    return (
        f"{spec.model} with batch_size={spec.batch_size}, {spec.precision}, {spec.image_size} px needs at least "
        f"{least:.2f} GiB "
        f"on {spec.device}, {allowance:.1f} of it outside torch's allocator; the limit is "
        f"{request.limit_gib:.2f} GiB (memory_limit_gib).\nThe cheapest changes that fit, as predicted:\n"
        + "\n".join(shown)
    )


def _least(request: MemoryRequest) -> float:
    """GiB of the smallest step that the request allows."""
    free = find_plan(replace(request, limit_gib=float("inf")))
    assert free is not None  # everything fits under no limit
    parts = (
        [free.accumulation]
        if request.accumulation != "auto" or free.prediction.batch_norm
        else [request.spec.batch_size]
    )
    steps = [request.step(n, checkpointing=c) for n in parts for c in options(request)]
    return min(step.process_gib for step in steps)


def _how(chosen: MemoryPlan) -> str:
    parts = (
        f"{chosen.accumulation} micro-batches of {chosen.micro_batch}"
        if chosen.accumulation > 1
        else "the batch at once"
    )
    return parts + (" with checkpointing" if chosen.checkpointing else "")


def _alternatives(request: MemoryRequest) -> Iterator[tuple[str, MemoryPlan]]:
    """Changes that fit, single ones first; one that contains another is left out."""
    used: list[frozenset[str]] = []
    for together in range(1, _TOGETHER + 1):
        for kinds in combinations(_KINDS, together):
            if any(before <= frozenset(kinds) for before in used):
                continue
            found = _first_that_fits(request, kinds)
            if found is not None:
                used.append(frozenset(kinds))
                yield found
            if len(used) == _SHOWN:
                return


def _first_that_fits(request: MemoryRequest, kinds: tuple[str, ...]) -> tuple[str, MemoryPlan] | None:
    for text, changed in _changed(request, kinds):
        try:
            found = find_plan(changed)
        except (ConfigError, UnpredictableError):  # a size or a checkpointing that the backbone does not take
            continue
        if found is not None:
            return text, found
    return None


def _changed(request: MemoryRequest, kinds: tuple[str, ...]) -> Iterator[tuple[str, MemoryRequest]]:
    first, *rest = kinds
    for text, changed in _KINDS[first](request):
        if not rest:
            yield text, changed
        for more, both in _changed(changed, tuple(rest)) if rest else ():
            yield f"{text} {more}", both


def _checkpointing(request: MemoryRequest) -> Iterator[tuple[str, MemoryRequest]]:
    if request.checkpointing is False:
        yield "checkpointing=true", replace(request, checkpointing=True)


def _accumulation(request: MemoryRequest) -> Iterator[tuple[str, MemoryRequest]]:
    """More parts than were given; with batch normalisation that is another training, and said so."""
    batch, norm = request.spec.batch_size, request.step(1, checkpointing=False).batch_norm
    if request.accumulation == "auto" and not norm:
        return
    for parts in (n for n in range(2, batch + 1) if batch % n == 0):
        note = f" (batch normalisation then sees {batch // parts} images at a time)" if norm else ""
        yield f"accumulation={parts}{note}", replace(request, accumulation=parts)


def _precision(request: MemoryRequest) -> Iterator[tuple[str, MemoryRequest]]:
    if request.spec.precision == "fp32":
        yield "precision=bf16", _with(request, precision="bf16")


def _batch_size(request: MemoryRequest) -> Iterator[tuple[str, MemoryRequest]]:
    size = 1 << (request.spec.batch_size - 1).bit_length() >> 1  # the next lower power of two
    parts = 1 if request.accumulation == "auto" else request.accumulation
    while size >= parts:
        if size % parts == 0:
            yield f"batch_size={size}", _with(request, batch_size=size)
        size //= 2


def _average(request: MemoryRequest) -> Iterator[tuple[str, MemoryRequest]]:
    if request.spec.ema:
        yield "ema_decay=0", _with(request, ema=False)


def _image_size(request: MemoryRequest) -> Iterator[tuple[str, MemoryRequest]]:
    backbone = find(request.spec.model)
    for size in (160, 128):
        if size < request.spec.image_size and (not backbone.fixed_size or takes(backbone.name, size)):
            yield f"image_size={size}", _with(request, image_size=size)


def _model(name: str) -> Change:
    """Another backbone, unless it is the same."""

    def change(request: MemoryRequest) -> Iterator[tuple[str, MemoryRequest]]:
        other = find(name)
        if find(request.spec.model).name != other.name:
            scales = other.scales("pyramid") if request.spec.scales else ()
            yield f"model={name}", _with(request, model=name, image_size=other.image_size("auto"), scales=scales)

    return change


def _with(request: MemoryRequest, **changes: object) -> MemoryRequest:
    return replace(request, spec=request.spec.model_copy(update=changes))


_KINDS: dict[str, Change] = {  # what may change, cheapest first: time, then the recipe, then what the images show
    "checkpointing": _checkpointing,
    "accumulation": _accumulation,
    "precision": _precision,
    "average": _average,
    "batch_size": _batch_size,
    "image_size": _image_size,
    **{f"model={name}": _model(name) for name in ("swin", "efficientnetv2", "tf_efficientnet_lite0")},
}
