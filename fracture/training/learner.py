"""The learner: a model with its optimiser, and one step of learning on one batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional

from fracture.config import TrainConfig
from fracture.data.batches import Normalize, augment, generator_on, to_float
from fracture.errors import ConfigError
from fracture.models.backbones import batch_norms, last_layer, normalises_batches
from fracture.training.compiled import Compiled
from fracture.training.execution import Plan
from fracture.training.optim import Schedule, make_optimizer


def prepare(pixels: Tensor, plan: Plan, normalize: Normalize, seed: int | None = None) -> Tensor:
    """Grey squares uint8 [n, s, s] as input [n, 3, s, s] on the device, augmented by ``seed`` where one is given."""
    pixels = pixels.to(plan.device, non_blocking=True)
    grey = to_float(pixels) if seed is None else augment(pixels, generator_on(pixels.device, seed))
    return normalize(grey).contiguous(memory_format=plan.format)


class Learner:
    """Everything that learning changes, and how.

    All randomness of a step (augmentation, dropout, stochastic depth) follows from the seed given to `step`, so nothing
    random has to be saved between steps but torch's own generators, which `state_dict` holds for completeness.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        plan: Plan,
        normalize: Normalize,
        class_counts: npt.NDArray[np.int64],
        steps_per_epoch: int,
    ) -> None:
        """Move the model to its device and make its optimiser; ``class_counts`` are those of the training split."""
        self.config, self.plan, self.normalize = config, plan, normalize
        self.model = plan.place(model)
        self._forward = Compiled(self.model, plan.micro_batch) if plan.compiled else self.model
        if config.trained != "all":
            self._freeze(config.trained)
        self.optimizer = make_optimizer(self.model, config)
        self.schedule = Schedule(self.optimizer, config, max(1, plan.epochs - self.has_probe), steps_per_epoch)
        self.scaler = torch.amp.GradScaler(plan.device, enabled=plan.precision == "fp16")
        self.ema = _average(self.model, config.ema_decay) if config.ema_decay else None
        self.class_weights = _class_weights(class_counts, plan.device) if config.class_weights == "balanced" else None

    def _freeze(self, trained: str) -> None:
        """Leave only the last layer, or only what is below it, to be learned.

        Raises:
            ConfigError: the model has no linear one.
        """
        layer = last_layer(self.model)
        if layer is None:
            raise ConfigError(f"trained={trained}: the last layer of this backbone is not linear; use trained=all")
        self.model.requires_grad_(trained == "backbone")
        layer.requires_grad_(trained == "head")

    @property
    def has_probe(self) -> bool:
        """Whether the head was fitted: the first epoch then judges it as it is, a candidate for the best like any."""
        return self.config.head == "probe"

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated and saved: the moving average where there is one."""
        if self.ema is None:
            return self.model
        averaged: nn.Module = self.ema.module
        return averaged

    @property
    def lr(self) -> float:
        """The largest learning rate: that of the head, or of what is next below where the head stays."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def step(self, pixels: Tensor, labels: Tensor, seed: int, number: int) -> tuple[Tensor, Tensor]:
        """Learn from one batch.

        Args:
            pixels: uint8 [n, s, s], wherever they lie.
            labels: int64 [n], wherever they lie.
            seed: of all that is random in this step.
            number: optimiser steps made before in the run, which the moving average warms up by.

        Returns:
            The mean loss and the number of correct answers, both still on the device.
        """
        torch.manual_seed(seed)
        inputs = prepare(pixels, self.plan, self.normalize, seed if self.config.augmentation == "standard" else None)
        targets = labels.to(self.plan.device, non_blocking=True)
        loss, correct = self.backward(inputs, targets)
        self.update(number)
        return loss, correct

    def look(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and correct answers of a batch as `step` gives them, of the model as it is: nothing is learned."""
        inputs = prepare(pixels, self.plan, self.normalize)
        targets = labels.to(self.plan.device, non_blocking=True)
        model = self.evaluated.eval()
        with torch.inference_mode(), self.plan.autocast():
            logits = torch.cat([model(part) for part in inputs.split(self.plan.micro_batch)])
        return self._loss(logits, targets, "mean"), (logits.argmax(1) == targets).sum()

    def backward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Forward and backward in micro-batches; the gradient is that of the whole batch's mean loss.

        Args:
            inputs: float [n, 3, s, s] on the device.
            targets: int64 [n] on the device.

        Returns:
            As `step`.
        """
        self._to_learn()
        weights = self.class_weights
        total = len(targets) if weights is None else weights[targets].sum()
        loss = torch.zeros((), device=targets.device)
        correct = torch.zeros((), device=targets.device, dtype=torch.long)
        parts = -(-len(inputs) // self.plan.micro_batch)  # nearly equal: batch statistics of one image are poor
        for part, target in zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True):
            with self.plan.autocast():
                logits = self._forward(part)
            share = self._loss(logits, target, "sum") / total
            self.scaler.scale(share).backward()
            loss += share.detach()
            correct += (logits.argmax(1) == target).sum()
        return loss, correct

    def _to_learn(self) -> None:
        """Training mode for what learns; batch statistics move with everything or not at all."""
        self.model.train(self.config.trained != "head")
        if self.config.trained == "backbone":
            for module in batch_norms(self.model):
                module.eval()

    def _loss(self, logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
        smoothing = self.config.label_smoothing
        return functional.cross_entropy(
            logits.float(), targets, self.class_weights, reduction=reduction, label_smoothing=smoothing
        )

    def update(self, number: int) -> None:
        """Change the weights by the gradients, and forget these; ``number`` as in `step`."""
        if self.config.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.after_step()
        if self.ema is not None:
            self.ema.update(self.model, step=number + 1)

    @property
    def normalises_batches(self) -> bool:
        """Whether a batch is normalised by its own statistics, so that parts of it are not the batch."""
        return self.config.trained == "all" and normalises_batches(self.model)

    @property
    def can_checkpoint(self) -> bool:
        """Whether the model can compute its activations twice."""
        try:  # timm's own answer; only read when a step has failed, without checkpointing
            self.model.set_grad_checkpointing(True)  # type: ignore[operator]
            self.model.set_grad_checkpointing(False)  # type: ignore[operator]
        except (AssertionError, AttributeError):
            return False
        return True

    def replan(self, plan: Plan) -> None:
        """Go on under another plan after a step that failed; its gradients are forgotten and its memory given back."""
        self.plan = plan
        self._forward = self.model  # compiled for batches of another size
        self.optimizer.zero_grad(set_to_none=True)
        if plan.checkpointing:
            self.model.set_grad_checkpointing(True)  # type: ignore[operator]
        if plan.device == "cuda":
            torch.cuda.empty_cache()

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on; plain values and tensors only."""
        cuda = torch.cuda.get_rng_state_all() if self.plan.device == "cuda" else []
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": {"cpu": torch.get_rng_state(), "cuda": cuda},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"]["cpu"].cpu())
        if state["rng"]["cuda"]:
            torch.cuda.set_rng_state_all([s.cpu() for s in state["rng"]["cuda"]])


def _average(model: nn.Module, decay: float) -> ModelEmaV3:
    """A moving average whose memory grows with the steps, up to ``decay``, or with all of them alike where it is 1."""
    return ModelEmaV3(model, decay=decay, use_warmup=True, warmup_power=1.0 if decay == 1 else 2 / 3)


def _class_weights(counts: npt.NDArray[np.int64], device: str) -> Tensor:
    """Inverse frequencies, 1 on average over the images (scikit-learn's ``balanced``)."""
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32, device=device)
