"""What `recipe=auto` does: it follows from the number of images and the weights, and says why."""

from fracture.config import TrainConfig, as_text, defaults

FEW = 700  # training images up to which fine-tuning was not seen to gain over the solved head
MANY = 5000  # from which the seed's recipe is kept: so many can teach a whole network

# pretrained weights and a few images: the solved head is the model. One epoch at this rate hardly moves it, so that lr
# and batch_size mean next to nothing here
HEAD_ONLY: dict[str, object] = {
    "head": "probe",
    "trained": "head",
    "augmentation": "none",
    "optimizer": "adamw",
    "lr": 0.00001,
    "epochs": 1,
    "class_weights": "balanced",
    "select_metric": "val_loss",
}

# pretrained weights and some images: from the solved head, everything gently
GENTLE: dict[str, object] = {
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
        synthetic: the demo set, on which the seed's recipe shows the whole story.

    Returns:
        The configuration, the knobs that the recipe has chosen, and why.
    """
    if config.recipe == "seed":
        return config, {}, "the seed's, as asked for"
    if not pretrained:
        return config, {}, "the seed's: random weights know nothing that could be kept"
    if synthetic:
        return config, {}, "the seed's: the demo set is for seeing the story"
    if images > MANY:
        return config, {}, f"the seed's: {images:,} training images are enough to teach the whole network"
    known, given = defaults(), as_text(config)
    wished = HEAD_ONLY if images <= FEW else GENTLE
    changes = {name: value for name, value in wished.items() if given[name] == known[name]}
    if given["scheduler"] not in (known["scheduler"], "cosine"):
        changes.pop("warmup_epochs", None)
    chosen = TrainConfig.model_validate(config.model_dump() | changes)
    what = "only the head is solved" if images <= FEW else "the head is solved first, then all is fine-tuned gently"
    return (
        chosen,
        {name: as_text(chosen)[name] for name in changes},
        f"{images:,} images and pretrained weights: {what}",
    )
