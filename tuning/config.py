"""Every setting of a study, once; what its trials share are the settings of training."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fracture.allowed_values import names_in, refused, validated
from fracture.config import TrainConfig, as_text

FURTHER = {"weight_decay": 0.2, "label_smoothing": 0.2, "drop_path": 0.4}  # upper ends of ranges that begin at 0
_COMMAND = "python -m tuning"
# settings of training that a study has no use for
NOT_SHARED = frozenset({"accumulation", "deterministic", "folds", "fold", "healthy", "resume"})


class TuneConfig(BaseModel):
    """The settings of a study.

    Raises:
        pydantic.ValidationError: every value out of its range at once; `parse_tuning` turns it into a ConfigError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trials: int = Field(20, ge=1, le=100_000, description="finished trials of the whole study, earlier ones included")
    memory_limit_gib: float = Field(
        7.6,
        ge=0.25,
        le=4096,
        description="memory that the process of a trial may use, in GiB; 7.6 is a laptop card of 8 GB",
    )
    lr_low: float = Field(0.00001, gt=0, le=1, description="lowest learning rate, on a logarithmic scale")
    lr_high: float = Field(0.01, gt=0, le=1, description="highest learning rate")
    batch_low: int = Field(4, ge=1, le=4096, description="smallest batch size; powers of two from here are tried ...")
    batch_high: int = Field(128, ge=1, le=4096, description="... up to here, if they fit under the memory limit")
    further: str = Field(
        "none", description=f"more parameters to search: none, or some of {', '.join(FURTHER)}, with commas"
    )
    accumulate: bool = Field(
        False,
        description="also try batches that fit only in micro-batches; never for models with batch normalisation",
    )
    pruner: Literal["hyperband", "median", "none"] = Field(
        "hyperband", description="how trials that do worse than others are ended early"
    )
    recipe: Literal["seed", "auto"] = Field(
        "seed", description="as in training; auto is refused where it would train the head only"
    )
    study: str = Field(
        "auto",
        pattern=r"^[\w.-]{1,60}$",
        description="first part of the study's name; auto is the model's; a digest of all fixed parameters is added",
    )
    storage: str = Field(
        "auto",
        description="auto is sqlite:///mlruns/optuna.db; with postgresql:// or mysql:// several machines can "
        "work together",
    )
    workers: int = Field(1, ge=1, le=64, description="processes on this machine that train trials, one GPU each")
    train_best: bool = Field(
        False, description="train a final model with the best parameters, as a child of the study's run"
    )

    @model_validator(mode="after")
    def _agree(self) -> "TuneConfig":
        problems = []
        if self.lr_low >= self.lr_high:
            problems.append(f"lr_low={self.lr_low}: must be below lr_high={self.lr_high}")
        if not powers_of_two(self.batch_low, self.batch_high):
            problems.append(f"no power of two from batch_low={self.batch_low} to batch_high={self.batch_high}")
        if unknown := sorted(set(self.searched) - FURTHER.keys()):
            problems.append(
                f"further={self.further}: {', '.join(unknown)} unknown. Allowed: none, {', '.join(FURTHER)}"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def searched(self) -> tuple[str, ...]:
        """What is searched beside learning rate and batch."""
        return tuple(dict.fromkeys(name for name in names_in(self.further) if name != "none"))


def powers_of_two(low: int, high: int) -> tuple[int, ...]:
    """Those from ``low`` to ``high``, both included."""
    return tuple(2**n for n in range(high.bit_length()) if low <= 2**n <= high)


def shared_settings() -> tuple[str, ...]:
    """The settings of training that all trials of a study share; ``lr`` and ``batch_size`` are those tried first."""
    return tuple(name for name in TrainConfig.model_fields if name not in NOT_SHARED | TuneConfig.model_fields.keys())


def defaults() -> dict[str, str]:
    """Every setting's default as text, the study's own and those that its trials share."""
    shared = as_text(TrainConfig())
    return as_text(TuneConfig()) | {name: shared[name] for name in shared_settings()}


def parse_tuning(values: Mapping[str, str]) -> tuple[TuneConfig, TrainConfig]:
    """The study's settings and those that its trials share, from text.

    Raises:
        ConfigError: every unknown name and every value out of its range, at once.
    """
    own = {name: value for name, value in values.items() if name in TuneConfig.model_fields}
    rest = {name: value for name, value in values.items() if name not in own}
    tuning, problems = validated(TuneConfig, own)
    told = {"recipe": tuning.recipe, "memory_limit_gib": str(tuning.memory_limit_gib)} if tuning else {}
    config, more = validated(TrainConfig, rest | told, TuneConfig.model_fields)
    if tuning is None or config is None:
        raise refused([*problems, *more], _COMMAND)
    return tuning, config
