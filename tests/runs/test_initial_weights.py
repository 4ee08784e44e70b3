"""Initial weights as people have them, from the file to the run, its saved model and what is resumed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

from fracture.models import checkpoint
from fracture.tracking import query
from fracture.tracking.artifacts import fetch
from tests.runs import small


@pytest.fixture(scope="module")
def grey_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A headless transformer for grey images of its own 160 pixels, below a prefix, in a training script's file."""
    torch.manual_seed(0)
    state = timm.create_model("test_vit", in_chans=1, num_classes=0).state_dict()
    path = tmp_path_factory.mktemp("weights") / "last.pth"
    torch.save({"state_dict": {f"encoder.{name}": value for name, value in state.items()}, "epoch": 7}, path)
    return path


def test_what_was_changed_is_said_and_kept(
    grey_vit: Path, make_images: Callable[..., Path], tmp_path: Path, store_root: Path
) -> None:
    screen = small.terminal()
    data = make_images(tmp_path / "data", 8, ("train", "val", "test"))
    run = small.train(
        data, screen, model="test_vit", image_size=96, weights=str(grey_vit), weights_license="CC-BY-4.0", epochs=1,
        recipe="seed",
    )  # fmt: skip
    wanted = (
        "taken from its state_dict", "read below encoder.", "without a head, which is new",
        "patch_embed.proj.weight spread from 1 input channel over 3", "pos_embed resampled by timm",
    )  # fmt: skip
    tags = query.tags_of(run)
    assert tags["fracture.weights_license"] == "CC-BY-4.0"
    for words in wanted:
        assert words in tags["fracture.weights_changes"]
        assert words in small.said(screen)
    model, sidecar = checkpoint.load(fetch(run, ["best.json", "best.pth"], tmp_path)[1])
    assert (sidecar.image_size, sidecar.license) == (96, "CC-BY-4.0")
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 3)
