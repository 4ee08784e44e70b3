"""What recipe=auto chooses, and what stays the user's."""

import pytest

from fracture.config import TrainConfig, as_text, defaults
from fracture.training.recipe import FEW, GENTLE, HEAD_ONLY, MANY, resolve


def chosen(images: int = 300, pretrained: bool = True, synthetic: bool = False, **given: object):  # type: ignore[no-untyped-def]
    return resolve(TrainConfig.model_validate(given), images, pretrained=pretrained, synthetic=synthetic)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ({"recipe": "seed"}, "as asked for"),
        ({"pretrained": False}, "random weights"),
        ({"synthetic": True}, "demo set"),
        ({"images": MANY + 1}, "enough to teach"),
    ],
)
def test_where_nothing_is_known_to_be_better_the_seeds_recipe_stays(case: dict[str, object], why: str) -> None:
    config, changes, said = chosen(**case)  # type: ignore[arg-type]
    assert as_text(config) == defaults() | ({"recipe": "seed"} if "recipe" in case else {})
    assert changes == {}
    assert why in said


@pytest.mark.parametrize(("images", "wished"), [(1, HEAD_ONLY), (FEW, HEAD_ONLY), (FEW + 1, GENTLE), (MANY, GENTLE)])
def test_few_images_get_a_recipe_of_their_own(images: int, wished: dict[str, object]) -> None:
    config, changes, said = chosen(images)
    assert changes.keys() == wished.keys()
    assert {name: getattr(config, name) for name in wished} == wished
    assert f"{images:,} images" in said


def test_what_the_user_gave_stays() -> None:
    config, changes, _ = chosen(1000, lr=0.01, epochs=3, scheduler="constant")
    assert (config.lr, config.epochs, config.scheduler, config.warmup_epochs) == (0.01, 3, "constant", 0)
    assert not {"lr", "epochs", "scheduler"} & changes.keys()
    config, changes, _ = chosen(1000, scheduler="plateau")
    assert config.scheduler == "cosine", "the default is the recipe's to change, whoever spelt it"
