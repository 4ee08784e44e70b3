"""Every setting of training, once: its name, type, default, range and the reason for it.

The command line, MLproject and the parameters logged to a run are derived from `TrainConfig` or checked against it.

The run command: ``mlflow run . -P model=convnextv2`` or ``fracture train --model convnextv2``.
"""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fracture.allowed_values import allowed, parse_model
from fracture.files import expanded
from fracture.rules import REFER_ERROR, SET_COVERAGE, YOUDEN, RuleText, Wanted

Auto = Literal["auto"]
Pixels = Annotated[int, Field(ge=32, le=1024)]
Count = Annotated[int, Field(ge=1, le=10_000)]
BY_RECIPE = (  # what a recipe may choose: `auto` unless the user gives a value, which then stays
    "image_size", "epochs", "optimizer", "lr", "weight_decay", "layer_decay", "layer_decay_cutoff", "scheduler",
    "warmup_epochs", "label_smoothing", "class_weights", "head", "features", "trained", "ema_decay",
    "select_metric", "early_stop_patience",
)  # fmt: skip


class TrainConfig(BaseModel):
    """The settings of one training run; the defaults are the seed's recipe.

    A setting of `BY_RECIPE` that is ``auto`` or left out is not among the ``model_fields_set``, and has its default
    until a recipe has chosen.

    Raises:
        pydantic.ValidationError: every value out of its range at once; `parse` turns it into a ConfigError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    AUTO_TOO: ClassVar = BY_RECIPE

    # what is trained
    model: str = Field(
        "convnextv2",
        description="convnextv2, efficientnetv2, maxvit, swin, any timm name; training takes several with commas, and "
        "all (the four)",
    )
    weights: str = Field(
        "auto",
        description="auto (hub cache, Python package, hub, else random with a warning), hub, none (random), or a "
        "weights file",
    )
    weights_license: Annotated[str, Field(pattern=r"^[!-~]([ -~]{0,98}[!-~])?$")] = Field(
        "auto",
        description="licence of a weights file; auto: not stated; weights of the hub have the licence that timm states",
    )
    # on what
    data: str = Field(
        "demo", description="demo (synthetic), a folder of classes with or without train/val/test, or a manifest CSV"
    )
    demo_images: int = Field(
        48, ge=30, description="number of images that data=demo renders; 48 keep the first run under five minutes"
    )
    data_seed: int = Field(
        0,
        ge=0,
        description="seed of the demo images and of the split; separate from seed, so that repeated runs "
        "share their data",
    )
    val_fraction: float = Field(0.15, gt=0, lt=0.5, description="share of validation, if the data has no splits")
    test_fraction: float = Field(0.15, gt=0, lt=0.5, description="share of the test split, if the data has no splits")
    folds: int = Field(
        1, ge=1, le=20, description="cross-validation: so many runs, each tested on another part of the data; 1 is off"
    )
    fold: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        "all",
        description="with folds: train only this fold, counted from 0; all trains every fold below one parent run",
    )
    healthy: str = Field(
        "auto", description="the class without a fracture: auto (found by its name), none, or the name of the class"
    )
    image_size: Pixels | Auto = Field(
        "auto", description="side in pixels; auto is 224, or the model's own size if it is built for one"
    )
    audit: Literal["strict", "warn", "off"] = Field(
        "strict", description="strict refuses data that leaks between splits, warn only warns, off does not look"
    )
    # how
    recipe: Literal["auto", "seed"] = Field(
        "auto",
        description="auto chooses the parameters that are auto, by number of images and weights; seed uses "
        "the defaults",
    )
    epochs: Count | Auto = Field(
        "auto", description="passes over the training images; auto is 30, and 3 with the demo set"
    )
    batch_size: int = Field(16, ge=1, le=4096, description="images per optimiser step")
    accumulation: Annotated[int, Field(ge=1)] | Auto = Field(
        "auto",
        description="micro-batches per optimiser step; auto is what fits in memory; a number must divide batch_size",
    )
    optimizer: Literal["adam", "adamw"] = Field(
        "adam", description="adamw decouples the weight decay from the gradient"
    )
    lr: float = Field(0.0001, gt=0, le=1, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, le=1, description="weight decay; not applied to norms, biases and GRN")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the learning rate from each layer to the one below; 1 is off"
    )
    layer_decay_cutoff: float = Field(
        0.0, ge=0, lt=1, description="layers with a smaller factor are not trained, which saves time"
    )
    scheduler: Literal["plateau", "cosine", "constant"] = Field(
        "plateau", description="plateau lowers the rate when val_loss stops falling; cosine ends at zero"
    )
    plateau_patience: int = Field(3, ge=0, description="epochs without a better val_loss before the rate drops")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="factor by which plateau lowers the rate")
    warmup_epochs: int = Field(0, ge=0, description="epochs of linear warm-up, with cosine or constant")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced weighs the loss by inverse class frequency"
    )
    drop_path: float = Field(0.0, ge=0, lt=1, description="rate of stochastic depth")
    head: Literal["random", "probe"] = Field(
        "random",
        description="how the last layer starts; probe: a linear probe, fitted on frozen features before the first "
        "epoch",
    )
    features: Literal["backbone", "pyramid"] = Field(
        "backbone",
        description="what the last layer reads; pyramid: mean, standard deviation and maximum of features at two sizes",
    )
    batch_norm: Literal["auto", "pretrained", "mixed"] = Field(
        "auto",
        description="statistics with a linear probe: of the weights, or mixed half with the training images'; auto "
        "tries both",
    )
    trained: Literal["all", "backbone", "head"] = Field(
        "all",
        description="layers that are trained: all, the backbone only, or the head only; the last two keep batch "
        "statistics",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="moving average of the weights, saved instead of them; 0 is off, 1 is the mean over all steps",
    )
    clip_norm: float = Field(0.0, ge=0, description="limit of the gradient norm; 0 is off")
    augmentation: Literal["standard", "none"] = Field(
        "standard", description="standard: flip, small rotation/scale/shift, exposure, noise, light blur"
    )
    select_metric: Literal[
        "val_macro_f1", "val_balanced_accuracy", "val_accuracy", "val_auroc", "val_loss", "val_balanced_log_loss"
    ] = Field("val_macro_f1", description="metric that selects the best epoch and stops training early")
    early_stop_patience: int = Field(
        5, ge=0, description="epochs without a better select_metric before training ends; 0 is off"
    )
    refit: bool | Auto = Field(
        "auto",
        description="fit the selected linear probe again on training and validation together; auto does so if the "
        "probe was not fine-tuned; true also warns if it cannot",
    )
    seed: int = Field(0, ge=0, description="seed of the initialisation, the order of images and the augmentation")
    # what is wanted of its decisions
    operating: RuleText = Field(
        YOUDEN,
        description="rule for the fracture threshold: youden, sensitivity:0.95, specificity:0.90, or cost:FN/FP (cost "
        "of a missed fracture and of a false alarm)",
    )
    refer_error: float = Field(
        REFER_ERROR,
        gt=0,
        lt=0.5,
        description="share of wrong answers allowed among images that are not referred to a person",
    )
    set_coverage: float = Field(
        SET_COVERAGE,
        ge=0.5,
        lt=1,
        description="share of each class's images that must have it among their possible classes",
    )
    # on which machine
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto is cuda if there is a GPU")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto is bf16 if the hardware supports it, unless fp32 is clearly faster or the loss differs "
        "(timed once per machine); else fp32",
    )
    deterministic: bool = Field(
        False,
        description="on a GPU: only operations with bit-identical results, which is slower; a CPU is always "
        "deterministic",
    )
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        "auto", description="auto times both once per machine and uses the faster"
    )
    compile: bool | Auto = Field(
        "auto",
        description="torch.compile for training steps; auto times it if the run is long enough to pay for it; a model "
        "that cannot be compiled runs uncompiled, with a warning",
    )
    checkpointing: bool | Auto = Field(
        "auto", description="compute activations twice: less memory, more time; auto does so only if nothing else fits"
    )
    memory_limit_gib: Annotated[float, Field(ge=0.25, le=4096)] | Auto = Field(
        "auto",
        description="memory that the process may use, in GiB; auto is what is free on the GPU, or of main memory",
    )
    threads: Count | Auto = Field(
        "auto", description="CPU threads; auto is the number of physical cores that the process may use"
    )
    # keeping and going on
    resume: str = Field(
        "none",
        description="id of an interrupted run to continue with its own settings; data=NEW says where its data is now; "
        "epochs=N trains it longer, as a new run",
    )
    stall_seconds: int = Field(
        900,
        ge=10,
        description="after so many seconds without progress the run logs all stack traces and ends; it can be resumed",
    )
    cache_dir: str = Field("auto", description="folder of decoded and demo images; auto is the user's cache folder")

    @model_validator(mode="before")
    @classmethod
    def _left_to_the_recipe(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: value for name, value in values.items() if name not in BY_RECIPE or value != "auto"}

    @model_validator(mode="after")
    def _agree(self) -> "TrainConfig":
        problems = []
        if self.accumulation != "auto" and self.batch_size % self.accumulation:
            problems.append(f"accumulation={self.accumulation} does not divide batch_size={self.batch_size}")
        if self.fold != "all" and self.fold >= self.folds:
            problems.append(f"fold={self.fold} of folds={self.folds}: they are numbered from 0 to {self.folds - 1}")
        if self.folds > 1 and self.val_fraction + 1 / self.folds >= 0.9:
            problems.append(f"val_fraction={self.val_fraction} and folds={self.folds} leave too little for training")
        if self.val_fraction + self.test_fraction >= 0.9:
            problems.append("val_fraction + test_fraction leave less than a tenth for training")
        if self.epochs != "auto" and self.epochs and self.warmed_up_throughout(self.epochs):
            looks = ", the first of which judges the linear probe" if self.head == "probe" else ""
            problems.append(f"warmup_epochs={self.warmup_epochs} takes all of epochs={self.epochs}{looks}")
        problems += self._unmet()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def wanted(self) -> Wanted:
        """What is wanted of its decisions."""
        return Wanted(self.operating, self.refer_error, self.set_coverage)

    def warmed_up_throughout(self, epochs: int) -> bool:
        """Whether the warm-up takes all epochs that learn: the first one of a linear probe only judges it."""
        return 0 < self.warmup_epochs >= epochs - (self.head == "probe")

    def _unmet(self) -> list[str]:
        """What needs another setting beside it that is set otherwise."""
        probed, falls = self.head == "probe", self.layer_decay < 1
        fall = f"layer_decay={self.layer_decay} is below layer_decay_cutoff={self.layer_decay_cutoff}"
        needs = [
            (self.batch_norm == "mixed", probed, f"batch_norm={self.batch_norm} needs head=probe beside it"),
            (self.trained == "backbone", probed, "trained=backbone needs head=probe: a random head would stay random"),
            (self.layer_decay_cutoff > 0, falls, "layer_decay_cutoff needs layer_decay below 1 beside it"),
            (
                self.trained == "backbone",
                self.layer_decay >= self.layer_decay_cutoff,
                f"{fall}: no layer would be trained",
            ),
            (self.warmup_epochs > 0, self.scheduler != "plateau", "warmup_epochs needs scheduler=cosine or constant"),
        ]
        return [problem for set_so, met, problem in needs if set_so and not met]


def parse(values: Mapping[str, Any], command: str = "fracture train") -> TrainConfig:
    """Make the configuration of a training run; see `allowed_values.parse_model`."""
    return parse_model(TrainConfig, values, command)


def absolute(config: TrainConfig) -> TrainConfig:
    """The same with absolute paths, so that a run can go on from another folder."""
    words = {"data": {"demo"}, "weights": {"auto", "hub", "none"}, "cache_dir": {"auto"}}
    paths = {name: value for name, value in config if name in words and value not in words[name]}
    return config.model_copy(update={name: str(expanded(value).absolute()) for name, value in paths.items()})


def defaults() -> dict[str, str]:
    """Every setting's default as text, spelt as MLproject and logged parameters spell it."""
    return as_text(TrainConfig())


def as_text(config: BaseModel) -> dict[str, str]:
    """Every setting's value as text; booleans in lower case, and ``auto`` for what is left to the recipe."""
    left = set(BY_RECIPE) - config.model_fields_set if isinstance(config, TrainConfig) else set()
    return {name: "auto" if name in left else spelt(value) for name, value in config}


def spelt(value: object) -> str:
    """A setting's value as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def seeds() -> dict[str, str]:
    """Every setting's default as text, with the value of the seed's recipe for what a recipe may choose."""
    return {name: spelt(value) for name, value in TrainConfig()}


def changed(config: TrainConfig) -> dict[str, str]:
    """The settings that differ from their defaults, as text."""
    standard = defaults()
    return {name: value for name, value in as_text(config).items() if value != standard[name]}


def default_of(model: type[BaseModel], name: str) -> str:
    """A setting's default for people: ``auto (0.0001)`` where the seed's recipe has that value."""
    text, own = as_text(model.model_construct(set()))[name], spelt(model.model_fields[name].default)
    return text if text == own else f"{text} ({own})"


def page() -> str:
    """The table of docs/parameters.md."""
    lines = ["| parameter | default | allowed | what it is |", "|---|---|---|---|"]
    for name, field in TrainConfig.model_fields.items():
        lines.append(f"| `{name}` | {default_of(TrainConfig, name)} | {allowed(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
