"""The space of a study: learning rate and batch, and what else is searched; plain values in, plain values out."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from tuning.config import FURTHER, TuneConfig

Value = float | int


class Suggests(Protocol):
    """What the space needs of an `optuna.Trial`."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number between two."""

    def suggest_categorical(self, name: str, choices: tuple[int, ...]) -> int:
        """One of some."""


class Space(BaseModel):
    """What is searched.

    Batches are choices, not a range: what is tried is exactly what was found to fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lr_low: float = Field(description="lowest learning rate")
    lr_high: float = Field(description="highest learning rate; the scale is logarithmic")
    batches: tuple[int, ...] = Field(description="batch sizes that fit, in ascending order")
    further: tuple[str, ...] = Field((), description="what else is searched, each from 0 to its end in FURTHER")

    def suggest(self, trial: Suggests) -> dict[str, Value]:
        """The values of the next trial, by the names of the settings of training."""
        return {
            "lr": trial.suggest_float("lr", self.lr_low, self.lr_high, log=True),
            "batch_size": trial.suggest_categorical("batch_size", self.batches),
            **{name: trial.suggest_float(name, 0.0, FURTHER[name]) for name in self.further},
        }

    def first(self, config: TrainConfig) -> dict[str, Value]:
        """What is tried first: the settings as given, by default the seed's, with the nearest batch that fits."""
        fitting = [size for size in self.batches if size <= config.batch_size]
        batch = max(fitting) if fitting else min(self.batches)
        return {"lr": config.lr, "batch_size": batch, **{name: getattr(config, name) for name in self.further}}


def space_of(tuning: TuneConfig, config: TrainConfig, batches: tuple[int, ...]) -> Space:
    """The space of a study.

    Args:
        tuning: its settings.
        config: what its trials share; what it says of a searched setting is tried first.
        batches: those that fit.

    Raises:
        ConfigError: what would be tried first lies outside of it.
    """
    space = Space(lr_low=tuning.lr_low, lr_high=tuning.lr_high, batches=batches, further=tuning.searched)
    first = space.first(config)
    ends = {"lr": (space.lr_low, space.lr_high), **{name: (0.0, FURTHER[name]) for name in space.further}}
    outside = [
        f"{name}={first[name]:g} is tried first, so it must lie from {low:g} to {high:g}"
        for name, (low, high) in ends.items()
        if not low <= first[name] <= high
    ]
    if outside:
        raise ConfigError("\n".join([*outside, "`python -m tuning --help` lists every parameter with its range."]))
    return space
