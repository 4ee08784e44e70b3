"""What `recipe=auto` does: it follows from the number of images, the weights and the backbone, and says why."""

from typing import NamedTuple

from fracture.allowed_values import validated
from fracture.config import BY_RECIPE, TrainConfig, as_text, defaults
from fracture.errors import ConfigError
from fracture.models.backbones import Backbone, solvable

FEW = 2000  # training images up to which only the head is learned; measured in docs/recipe-measurements.md
MANY = 5000  # from which the seed's recipe is kept: so many can teach a whole network

# a linear probe on the features of pretrained weights: the only epoch judges it, nothing is learned by steps
LINEAR_PROBE: dict[str, object] = {
    "head": "probe",
    "features": "pyramid",
    "image_size": 384,
    "trained": "head",
    "class_weights": "balanced",
    "epochs": 1,
}

# what is below a linear probe, gently; the first epoch judges that head as it is, and stays where none is better
GENTLE: dict[str, object] = {
    "head": "probe",
    "features": "pyramid",
    "image_size": 384,
    "trained": "backbone",
    "optimizer": "adamw",
    "lr": 0.0002,
    "weight_decay": 0.05,
    "layer_decay": 0.9,
    "layer_decay_cutoff": 0.3,
    "scheduler": "cosine",
    "warmup_epochs": 1,
    "epochs": 7,
    "class_weights": "balanced",
    "label_smoothing": 0.1,
    "ema_decay": 1.0,
    "select_metric": "val_loss",
    "early_stop_patience": 0,
}


# what has no meaning while nothing is learned by steps
OF_STEPS = (
    "optimizer", "lr", "weight_decay", "layer_decay", "layer_decay_cutoff", "scheduler", "plateau_patience",
    "plateau_factor", "warmup_epochs", "label_smoothing", "drop_path", "augmentation", "ema_decay", "clip_norm",
)  # fmt: skip


class Facts(NamedTuple):
    """What a recipe follows from, beside the backbone.

    Attributes:
        images: of the training split.
        pretrained: whether training starts from pretrained weights.
        synthetic: the demo set, on which the seed's recipe shows the whole story.
    """

    images: int
    pretrained: bool = True
    synthetic: bool = False


def resolve(config: TrainConfig, backbone: Backbone, facts: Facts) -> tuple[TrainConfig, dict[str, str], str]:
    """The configuration that is trained with.

    What is ``auto`` or left out is the recipe's to choose; what the user gave stays, be it the default.

    Returns:
        The configuration with nothing left to choose, the values of the settings that were left, and why.

    Raises:
        ConfigError: what the recipe chooses does not go with what the user gave.
    """
    if why := _why_seed(config, facts):
        return *_filled(config, {}), f"recipe=seed{why}"
    heads = solvable(backbone)
    if not heads:
        return *_filled(config, {}), f"recipe=seed: {backbone.name} has no head that could be fitted"
    changes = _changes(config, backbone, facts, heads[0])
    chosen, problems = validated(TrainConfig, config.model_dump() | changes)
    if chosen is None:
        given = ", ".join(f"{name}={value}" for name, value in changes.items())
        raise ConfigError(
            f"recipe=auto chooses {given} for {facts.images:,} images, which does not go with what was given: "
            f"{'; '.join(problems)}.\nGive these parameters values too, or leave yours out, or use recipe=seed."
        )
    few = facts.images <= FEW
    what = "only a linear probe is fitted" if few else "a linear probe is fitted, then upper layers are fine-tuned"
    plain = "" if chosen.features == "pyramid" else ", reading the backbone's own features only"
    size = f", at {backbone.image_size(chosen.image_size)} px" if backbone.fixed_size else ""
    reason = f"{facts.images:,} images and pretrained weights: {what}{plain}{size}"
    return *_filled(config, changes), reason


def _filled(config: TrainConfig, changes: dict[str, object]) -> tuple[TrainConfig, dict[str, str]]:
    """The configuration with nothing left to the recipe, and what the settings that were left have become."""
    full = TrainConfig.model_validate(config.model_dump() | changes)
    values = as_text(full)
    return full, {name: values[name] for name in BY_RECIPE if as_text(config)[name] == "auto" != values[name]}


def idle(given: TrainConfig, trained: TrainConfig) -> list[str]:
    """Settings given that mean nothing, as nothing is learned by steps: a linear probe's only epoch judges it."""
    if trained.head != "probe" or trained.epochs != 1:
        return []
    values, usual = as_text(given), defaults()
    return [f"{name}={values[name]}" for name in OF_STEPS if values[name] != usual[name]]


def _why_seed(config: TrainConfig, facts: Facts) -> str:
    """Why the seed's recipe is kept, empty where it is not."""
    if config.recipe == "seed":
        return ", as given"
    if as_text(config)["head"] == "random":
        return ": head=random was given, and all other recipes start with a linear probe"
    if not facts.pretrained:
        return ": random weights have no useful features"
    if facts.synthetic:
        return ": the demo set trains the whole network"
    return f": {facts.images:,} training images are enough to train the whole network" if facts.images > MANY else ""


def _changes(config: TrainConfig, backbone: Backbone, facts: Facts, features: str) -> dict[str, object]:
    given = as_text(config)
    chosen = (LINEAR_PROBE if facts.images <= FEW else GENTLE) | {"features": features}
    if backbone.fixed_size or features == "backbone":
        del chosen["image_size"]
    changes = {name: value for name, value in chosen.items() if given[name] == "auto"}
    if given["trained"] in ("backbone", "all"):  # whoever wants to learn below the linear probe wants epochs for it
        changes = {name: value for name, value in changes.items() if name != "epochs" or value != 1}
    few_epochs = config.epochs != "auto" and config.epochs <= 2  # the first judges the linear probe
    if given["scheduler"] not in ("auto", "cosine") or few_epochs:
        changes.pop("warmup_epochs", None)
    if given["layer_decay"] != "auto":
        changes.pop("layer_decay_cutoff", None)  # it was chosen for another fall, and could leave nothing to learn
    return changes
