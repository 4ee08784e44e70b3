"""A dry run: the real learner takes a step on fake tensors, and the ledger keeps what it would have allocated."""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fracture.config import TrainConfig
from fracture.data.batches import Normalize
from fracture.errors import FractureError
from fracture.models import backbones
from fracture.training.execution import Plan
from fracture.training.learner import Learner
from fracture.training.memory.cuda import AsOnCuda
from fracture.training.memory.ledger import Ledger, in_order
from fracture.training.memory.spec import StepSpec, UnpredictableError


class _InPlace(Plan):
    """A plan whose models lie where they should: fake tensors cannot be moved in a module."""

    def place(self, model: nn.Module) -> nn.Module:
        """The same model."""
        return model


@dataclass(frozen=True)
class Tape:
    """Everything that a step allocates, in order.

    Attributes:
        sizes, kinds: of each block, by its number; see `Ledger`.
        model: events of building the model, its average and one batch of inputs.
        forward, backward: of one micro-batch; ``forward`` is the evaluation batch in an evaluation.
        update: of the first optimiser step, which makes the optimiser's state and gives the gradients back.
        batch_norm: whether the model normalises over the batch.
    """

    sizes: list[int]
    kinds: list[str]
    model: list[int]
    forward: list[int]
    backward: list[int]
    update: list[int]
    batch_norm: bool

    def events(self) -> list[list[int]]:
        """All chapters."""
        return [self.model, self.forward, self.backward, self.update]


def between(small: Tape, large: Tape, share: float) -> Tape:
    """The tape at ``share`` of the way from one to another with the same events; beyond it where ``share`` is over 1.

    Every size is a constant plus a multiple of the batch size, so this is no approximation.
    """
    sizes = [max(0, round(a + (b - a) * share)) for a, b in zip(small.sizes, large.sizes, strict=True)]
    return replace(small, sizes=sizes)


def record(spec: StepSpec) -> Tape:
    """Take one step of ``spec`` on fake tensors: no memory, no GPU, a few seconds.

    Raises:
        ConfigError: no such backbone, or it does not support what ``spec`` asks for.
        UnpredictableError: its operations depend on the contents of tensors.
    """
    try:
        return _record(spec)
    except FractureError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise UnpredictableError(
            f"the memory of {spec.model} cannot be predicted ({type(error).__name__}: {reason}); "
            "leave memory_limit_gib=auto, with which it trains without a plan"
        ) from error


def _record(spec: StepSpec) -> Tape:
    backbone = backbones.find(spec.model)
    config = TrainConfig(
        model=spec.model,
        batch_size=spec.batch_size,
        optimizer=spec.optimizer,
        head="probe" if spec.trained == "backbone" else "random",
        trained=spec.trained,
        layer_decay=spec.layer_decay,
        layer_decay_cutoff=spec.layer_decay_cutoff,
        ema_decay=0.99 if spec.ema else 0.0,
        precision=spec.precision,
        checkpointing=spec.checkpointing,
    )
    with torch.device("meta"):
        model = backbones.build(
            backbone, spec.classes, size=spec.image_size, scales=spec.scales, checkpointing=spec.checkpointing
        )
    twin = copy.deepcopy(model) if spec.ema else model
    with _pretending(spec) as ledger:
        with ledger.chapter() as prelude:
            _materialise(model)
            if spec.ema:  # fake tensors cannot be copied in a module, so the copy is at hand before
                _materialise(twin)
                model.__deepcopy__ = lambda _: twin  # type: ignore[assignment]
            learner = _learner(model, config, spec, Normalize(backbone.mean, backbone.std))
            ledger.label([*model.parameters(), *model.buffers()], "weights")
            if learner.ema is not None:
                ledger.label(learner.ema.state_dict().values(), "average")
            inputs = torch.empty(spec.batch_size, 3, spec.image_size, spec.image_size)
            labels = torch.zeros(spec.batch_size, dtype=torch.long)
            ledger.label([inputs, labels], "inputs")
        chapters = (_evaluate if spec.evaluation else _learn)(learner, ledger, inputs, labels)
    return Tape(ledger.sizes, ledger.kinds, prelude, *chapters, learner.normalises_batches)


def _learn(learner: Learner, ledger: Ledger, inputs: Tensor, labels: Tensor) -> tuple[list[int], list[int], list[int]]:
    """The chapters of a step of learning."""
    start = len(ledger.events)
    middle: list[int] = []

    def between(*_: object) -> None:
        if not middle:
            middle.append(len(ledger.events))
            ledger.label_alive(start, "activations")

    hook = learner.model.register_forward_hook(between)
    learner.backward(inputs, labels)
    hook.remove()
    ledger.label((p.grad for p in learner.model.parameters()), "gradients")
    forward, backward = in_order(ledger.events[start : middle[0]]), in_order(ledger.events[middle[0] :])
    return forward, backward, _update(learner, ledger)


def _evaluate(learner: Learner, ledger: Ledger, inputs: Tensor, _: Tensor) -> tuple[list[int], list[int], list[int]]:
    """The chapters of an evaluation batch, with the state of training in memory."""
    for parameter in learner.model.parameters():
        parameter.grad = torch.empty_like(parameter)
    update = _update(learner, ledger)
    with ledger.chapter() as forward:
        learner.evaluated.eval()
        with torch.inference_mode(), learner.plan.autocast():
            learner.evaluated(inputs)
    return forward, [], [event for event in update if ledger.kinds[abs(event) - 1] == "optimiser"]


def _update(learner: Learner, ledger: Ledger) -> list[int]:
    with ledger.chapter() as events:
        learner.update(0)
        states = learner.optimizer.state.values()
        ledger.label((v for state in states for v in state.values() if isinstance(v, Tensor)), "optimiser")
    return events


def _learner(model: nn.Module, config: TrainConfig, spec: StepSpec, normalize: Normalize) -> Learner:
    plan = _InPlace(
        device="cpu",
        precision=spec.precision,
        memory_format="contiguous",
        threads=1,
        micro_batch=spec.batch_size,
        image_size=spec.image_size,
        epochs=1,
        reasons={},
    )
    return Learner(model, config, plan, normalize, np.ones(spec.classes, np.int64), 1)


@contextlib.contextmanager
def _pretending(spec: StepSpec) -> Iterator[Ledger]:
    """Fake tensors, with a ledger over them, as the device of ``spec`` computes."""
    ledger = Ledger()
    device = AsOnCuda() if spec.device == "cuda" else contextlib.nullcontext()
    log = logging.getLogger("torch._subclasses.fake_tensor")  # it prints pages about what is raised anyway
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings(), FakeTensorMode(), ledger, device:
            warnings.simplefilter("ignore")
            yield ledger
    finally:
        log.disabled = before


def _materialise(model: nn.Module) -> None:
    """Put fake CPU tensors in the place of a model's meta tensors; what is shared stays shared."""
    made: dict[int, Tensor] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                fake = made.get(id(parameter))
                if fake is None:
                    fake = nn.Parameter(_like(parameter), requires_grad=parameter.requires_grad)
                made[id(parameter)] = module._parameters[name] = fake  # type: ignore[assignment]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = made.setdefault(id(buffer), _like(buffer))


def _like(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype)
