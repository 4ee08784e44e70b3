"""What recipe=auto chooses, and what stays the user's."""

import pytest

from fracture.config import BY_RECIPE, TrainConfig, as_text, defaults, seeds
from fracture.errors import ConfigError
from fracture.models import backbones
from fracture.training import recipe
from fracture.training.recipe import FEW, GENTLE, LINEAR_PROBE, MANY, Facts, resolve


def chosen(
    images: int = 300,
    *,
    model: str = "test_efficientnet",
    pretrained: bool = True,
    synthetic: bool = False,
    **given: object,
):  # type: ignore[no-untyped-def]
    config = TrainConfig.model_validate(given | {"model": model})
    found, values, why = resolve(config, backbones.find(model), Facts(images, pretrained, synthetic))
    assert values.keys() == {name for name in BY_RECIPE if as_text(config)[name] == "auto" != as_text(found)[name]}
    return found, {name: value for name, value in values.items() if value != seeds()[name]}, why


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ({"recipe": "seed"}, "as given"),
        ({"pretrained": False}, "random weights"),
        ({"synthetic": True}, "demo set"),
        ({"images": MANY + 1}, "enough to train"),
    ],
)
def test_where_nothing_is_known_to_be_better_the_seeds_recipe_stays(case: dict[str, object], why: str) -> None:
    config, changes, said = chosen(**case)  # type: ignore[arg-type]
    given = {"model": "test_efficientnet"} | ({"recipe": "seed"} if "recipe" in case else {})
    assert as_text(config) == seeds() | given
    assert changes == {}
    assert why in said


@pytest.mark.parametrize(
    ("images", "wished"), [(1, LINEAR_PROBE), (FEW, LINEAR_PROBE), (FEW + 1, GENTLE), (MANY, GENTLE)]
)
def test_few_images_get_a_recipe_of_their_own(images: int, wished: dict[str, object]) -> None:
    config, changes, said = chosen(images)
    assert changes.keys() == wished.keys()
    assert set(wished) <= set(BY_RECIPE)
    assert {name: getattr(config, name) for name in wished} == wished
    assert f"{images:,} images" in said


def test_what_the_user_gave_stays() -> None:
    config, changes, _ = chosen(FEW + 1, lr=0.01, epochs=3, scheduler="constant", image_size=128)
    assert (config.lr, config.epochs, config.scheduler, config.warmup_epochs) == (0.01, 3, "constant", 0)
    assert config.image_size == 128
    assert not {"lr", "epochs", "scheduler", "image_size"} & changes.keys()
    config, changes, _ = chosen(FEW + 1, scheduler="plateau", features="backbone")
    assert (config.scheduler, config.features) == ("plateau", "backbone"), "a default that was typed stays too"
    config, changes, why = chosen(FEW + 1, head="random")
    assert (config.trained, config.scheduler, changes) == ("all", "plateau", {})
    assert "head=random was given" in why
    config, changes, _ = chosen(FEW + 1, scheduler="auto")
    assert config.scheduler == changes["scheduler"] == "cosine"


def test_a_fall_of_ones_own_has_no_cutoff_of_the_recipe() -> None:
    config, changes, _ = chosen(FEW + 1, layer_decay=0.25)
    assert (config.layer_decay, config.layer_decay_cutoff) == (0.25, 0.0)
    assert "layer_decay_cutoff" not in changes


@pytest.mark.parametrize(
    ("images", "given", "problem"),
    [
        (300, {"scheduler": "cosine", "warmup_epochs": 2}, "warmup_epochs=2 takes all of epochs=1"),
        (FEW + 1, {"scheduler": "cosine", "warmup_epochs": 10}, "warmup_epochs=10 takes all of epochs=7"),
        (FEW + 1, {"layer_decay": 0.5, "layer_decay_cutoff": 0.9}, "no layer would be trained"),
    ],
)
def test_what_does_not_go_with_the_recipe_is_refused_in_words(
    images: int, given: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match="or use recipe=seed") as refused:
        chosen(images, **given)
    assert f"for {images:,} images, which does not go with what was given" in str(refused.value)
    assert problem in str(refused.value)


@pytest.mark.parametrize("epochs", [1, 2])
def test_few_epochs_of_ones_own_leave_no_room_for_a_warm_up(epochs: int) -> None:
    config, changes, _ = chosen(FEW + 1, epochs=epochs)
    assert (config.epochs, config.warmup_epochs, config.trained) == (epochs, 0, "backbone")
    assert "warmup_epochs" not in changes


def test_whoever_wants_to_learn_below_the_head_gets_epochs_for_it() -> None:
    config, changes, _ = chosen(300, head="probe", trained="backbone")
    assert (config.trained, config.epochs) == ("backbone", "auto")
    assert "epochs" not in changes


def test_settings_of_steps_that_are_never_made_are_told() -> None:
    given = TrainConfig(lr=0.01, batch_size=4, ema_decay=0.9)
    settings = {"lr": 0.01, "batch_size": 4, "ema_decay": 0.9}
    assert recipe.idle(given, chosen(**settings)[0]) == ["lr=0.01", "ema_decay=0.9"]  # type: ignore[arg-type]
    assert recipe.idle(given, chosen(FEW + 1, **settings)[0]) == []  # type: ignore[arg-type]
    assert recipe.idle(given, given) == []
    assert set(recipe.OF_STEPS) <= defaults().keys()


def test_a_backbone_of_one_size_keeps_it() -> None:
    config, changes, said = chosen(model="swin")
    assert "at 224 px" in said
    assert config.features == "pyramid"
    assert config.image_size == "auto"
    assert "image_size" not in changes


@pytest.mark.parametrize(
    ("heads", "features", "said"),
    [(("backbone",), "backbone", "reading the backbone's own features only"), ((), "backbone", "recipe=seed: ")],
)
def test_a_backbone_that_cannot_do_it_gets_what_it_can(
    heads: tuple[str, ...], features: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "solvable", lambda _: heads)
    config, changes, why = chosen()
    assert config.features == features
    assert said in why
    assert not {"features", "image_size"} & changes.keys()
    assert config.head == ("probe" if heads else "random")
