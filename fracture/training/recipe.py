"""What `recipe=auto` does: it follows from the number of images and the weights, and says why."""

from fracture.config import TrainConfig, as_text, defaults

MANY = 5000  # training images from which the seed's recipe is kept: they can teach a whole network

# for a few images and pretrained weights; what each part gains is measured in docs/recipe.md
FEW: dict[str, object] = {
    "head": "probe",
    "optimizer": "adamw",
    "lr": 0.0003,
    "weight_decay": 0.05,
    "layer_decay": 0.8,
    "scheduler": "cosine",
    "warmup_epochs": 1,
    "epochs": 8,
    "class_weights": "balanced",
    "label_smoothing": 0.1,
    "ema_decay": 0.98,
    "select_metric": "val_loss",
    "early_stop_patience": 0,
}


def resolve(
    config: TrainConfig, images: int, *, pretrained: bool, synthetic: bool
) -> tuple[TrainConfig, dict[str, str], str]:
    """The configuration that is trained with.

    A knob that stands at its default is the recipe's to choose; any other value is the user's and stays.

    Args:
        config: as given.
        images: of the training split.
        pretrained: whether training starts from pretrained weights.
        synthetic: the demo set, which is for seeing the story in minutes.

    Returns:
        The configuration, the knobs that the recipe has chosen, and why.
    """
    if config.recipe == "seed":
        return config, {}, "the seed's, as asked for"
    if not pretrained:
        return config, {}, "the seed's: random weights know nothing that could be kept"
    if images > MANY:
        return config, {}, f"the seed's: {images:,} training images are enough to teach the whole network"
    known, given = defaults(), as_text(config)
    kept = {"epochs"} if synthetic else set()
    changes = {name: value for name, value in FEW.items() if given[name] == known[name] and name not in kept}
    if given["scheduler"] not in (known["scheduler"], "cosine"):
        changes.pop("warmup_epochs", None)
    chosen = TrainConfig.model_validate(config.model_dump() | changes)
    why = f"{images:,} training images and pretrained weights: the head is solved first, then all is fine-tuned gently"
    return chosen, {name: as_text(chosen)[name] for name in changes}, why
