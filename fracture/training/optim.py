"""The optimiser and the learning-rate schedule."""

import math

import torch
from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from fracture.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW (fused); no decay on norms, biases and GRN; a rate that falls from layer to layer if wished.

    Layers below the cut-off of that fall are frozen.
    """
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        model,
        opt=config.optimizer,
        lr=config.lr,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay if config.layer_decay < 1 else None,
        layer_decay_no_opt_scale=config.layer_decay_cutoff or None,
        fused=True,
    )
    for group in optimizer.param_groups:  # torch's schedulers know no lr_scale, timm's optimiser only notes it
        group["lr"] = config.lr * group.get("lr_scale", 1.0)
    return optimizer


class Schedule:
    """Tells the optimiser its rates: after each step (warm-up, cosine) and after each epoch (plateau)."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, config: TrainConfig, epochs: int, steps_per_epoch: int
    ) -> None:
        """Start at the first step of ``epochs`` epochs of ``steps_per_epoch`` optimiser steps."""
        self._plateau: ReduceLROnPlateau | None = None
        self._steps: LambdaLR | None = None
        if config.scheduler == "plateau":
            self._plateau = ReduceLROnPlateau(optimizer, patience=config.plateau_patience, factor=config.plateau_factor)
        else:
            warmup, total = config.warmup_epochs * steps_per_epoch, epochs * steps_per_epoch
            cosine = config.scheduler == "cosine"
            self._steps = LambdaLR(optimizer, lambda step: factor(step, warmup, total, cosine))

    def after_step(self) -> None:
        """Move on by one optimiser step."""
        if self._steps is not None:
            self._steps.step()

    def after_epoch(self, val_loss: float) -> None:
        """Move on by one epoch."""
        if self._plateau is not None:
            self._plateau.step(val_loss)

    def move_to(self, step: int) -> None:
        """Be where so many optimiser steps have led; a plateau has seen nothing yet."""
        if self._steps is not None:
            self._steps.load_state_dict(self._steps.state_dict() | {"last_epoch": step, "_step_count": step + 1})
            rates = zip(self._steps.optimizer.param_groups, self._steps.base_lrs, self._steps.lr_lambdas, strict=True)
            for group, base, share in rates:
                group["lr"] = base * share(step)

    def state_dict(self) -> dict[str, object]:
        """Plain values to go on from."""
        return dict((self._plateau or self._inner()).state_dict())

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from what `state_dict` gave."""
        (self._plateau or self._inner()).load_state_dict(state)

    def _inner(self) -> LambdaLR:
        assert self._steps is not None
        return self._steps


def factor(step: int, warmup: int, total: int, cosine: bool) -> float:
    """Share of the full rate at one step: linear up to it, then constant or half a cosine down to zero."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if not cosine:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
