"""Settings of a training from a file or from a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.runs import group as groups
from fracture.runs import session, settings
from fracture.tracking import query
from tests.runs.small import config
from tests.runs.small import train as train_small


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("model: swin\nlr: 1.0e-4\nepochs: 3\n", {"model": "swin", "lr": "0.0001", "epochs": "3"}),
        (
            '{"batch-size": 8, "checkpointing": true, "lr": "auto"}',
            {"batch_size": "8", "checkpointing": "true", "lr": "auto"},
        ),
    ],
)
def test_a_file_says_what_could_be_typed(tmp_path: Path, text: str, held: dict[str, str]) -> None:
    (tmp_path / "s.yaml").write_text(text)
    assert settings.from_file(tmp_path / "s.yaml") == held


@pytest.mark.parametrize("text", ["", "- model", "model: [a, b]", "model: {a: b}", "a: b: c", "model:", "\x00"])
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"--config .*s\.yaml: "):
        settings.from_file(tmp_path / "s.yaml")


def test_what_the_recipe_chose_in_an_earlier_version_is_left_to_it_again(
    store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"lr": "0.001", "head": "random", "recipe.head": "probe", "batch_norm": "pretrained"}
    found = query.Found("1", "run", "FINISHED", params | {"recipe.batch_norm": "auto"}, {}, {"fracture.kind": "train"})
    monkeypatch.setattr(query, "run_of", lambda _: found)
    assert settings.from_run("1") == {"lr": "0.001"}
    found.params.clear()
    with pytest.raises(ConfigError, match="--like 1: has no settings"):
        settings.from_run("1")


BEFORE = {  # of a member, as it was written before settings could be auto
    "model": "test_resnet", "data": "demo", "recipe": "seed", "lr": "0.001", "optimizer": "adam", "epochs": "20",
    "scheduler": "plateau", "head": "random", "batch_norm": "pretrained", "trained": "all", "resume": "none",
    "plan.device": "cpu", "solved.batch_norm": "mixed",
}  # fmt: skip
TODAY = {"model": "test_efficientnet,test_resnet", "recipe": "seed", "lr": 0.001, "epochs": 20}


@pytest.mark.parametrize(
    ("group", "member", "command", "goes_on"),
    [
        ({}, BEFORE, {}, True),
        ({}, BEFORE, {"lr": 0.002}, False),
        ({}, BEFORE, {"refit": False}, False),
        ({}, BEFORE, {"model": "test_convnext,test_efficientnet"}, False),
        ({}, BEFORE | {"recipe": "auto"}, {"recipe": "auto"}, False),  # what was typed then is not known
        ({}, BEFORE | {"recipe": "a word of old"}, {}, False),
        ({}, {}, {}, False),
        ({"model": "test_efficientnet,test_resnet", "recipe": "seed", "lr": "1e-3", "epochs": "20"}, {}, {}, True),
        ({"model": "test_resnet,test_convnext", "recipe": "seed", "lr": "1e-3", "epochs": "20"}, BEFORE, {}, False),
        ({"model": "test_efficientnet,test_resnet", "lr": "auto"}, {}, {"recipe": "auto"}, False),
    ],
)
def test_a_group_of_an_earlier_version_is_known_by_its_settings(
    group: dict[str, str], member: dict[str, str], command: dict[str, object], goes_on: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def found(params: dict[str, str]) -> list[query.Found]:
        return [query.Found("1", "run", "KILLED", params, {}, {})]

    monkeypatch.setattr(query, "unfinished_groups", lambda: found(group))
    monkeypatch.setattr(query, "children", lambda *_: found(member))
    wanted = TrainConfig.model_validate(TODAY | command)
    assert groups._unfinished(wanted, "model", wanted.model.split(",")) == ("1" if goes_on else None)


def test_what_is_typed_wins_over_the_file_and_the_file_over_the_run(
    store_root: Path, images: Path, cli: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = train_small(images, seed=5)
    seen: list[TrainConfig] = []
    monkeypatch.setattr(session, "train", lambda wanted, _: seen.append(wanted))
    assert cli("train", "--like", run) == 0
    assert seen[-1] == config(images, seed=5)
    Path("s.yaml").write_text("seed: 6\nepochs: 4\n")
    assert cli("train", "--like", run, "--config", "s.yaml", "--epochs", "5") == 0
    assert seen[-1] == config(images, seed=6, epochs=5)
    Path("s.yaml").write_text("sed: 6\n")
    assert cli("train", "--config", "s.yaml") == 2
    assert "Nearest: seed" in capsys.readouterr().err
    assert cli("train", "--like", "nothing") == 2
