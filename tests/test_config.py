"""The settings of training: defaults, ranges, text and back, and messages that show every problem at once."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fracture import config
from fracture.allowed_values import allowed, nearest
from fracture.commands import options
from fracture.config import TrainConfig, as_text, defaults, parse
from fracture.data.cache import folder_of
from fracture.errors import ConfigError

BAD = [
    ({"folds": "5", "fold": "5"}, "fold=5 of folds=5: they are numbered from 0 to 4"),
    ({"folds": "2", "val_fraction": "0.45"}, "val_fraction=0.45 and folds=2 leave too little for training"),
    ({"lr": "abc"}, "lr=abc: must be a number (above 0, at most 1) or auto\n"),
    ({"lr": "0"}, "lr=0: must be a number (above 0, at most 1) or auto\n"),
    ({"lr": "nan"}, "lr=nan: "),
    ({"lr": "inf"}, "lr=inf: "),
    ({"epochs": "0"}, "epochs=0: must be a whole number (1 to 10,000) or auto\n`"),  # one line
    ({"epochs": "2.5"}, "epochs=2.5: "),
    ({"epochs": "many"}, "epochs=many: "),
    ({"image_size": "16"}, "image_size=16: "),
    ({"image_size": "4096"}, "image_size=4096: "),
    ({"threads": "-1"}, "threads=-1: "),
    ({"batch_size": "-4"}, "batch_size=-4: "),
    ({"accumulation": "0"}, "accumulation=0: "),
    ({"accumulation": "3"}, "accumulation=3 does not divide batch_size=16"),
    ({"batch_size": "8", "accumulation": "16"}, "accumulation=16 does not divide batch_size=8"),
    ({"val_fraction": "0.5"}, "val_fraction=0.5: "),
    ({"val_fraction": "0.45", "test_fraction": "0.46"}, "less than a tenth for training"),
    ({"warmup_epochs": "3", "epochs": "3", "scheduler": "cosine"}, "warmup_epochs=3 takes all of epochs=3"),
    (
        {"warmup_epochs": "2", "epochs": "3", "scheduler": "cosine", "head": "probe"},
        "warmup_epochs=2 takes all of epochs=3, the first of which judges the linear probe",
    ),
    ({"batch_norm": "mixed"}, "batch_norm=mixed needs head=probe"),
    ({"trained": "backbone"}, "trained=backbone needs head=probe"),
    ({"ema_decay": "1.1"}, "ema_decay=1.1: "),
    ({"warmup_epochs": "2"}, "warmup_epochs needs scheduler=cosine or constant"),
    ({"layer_decay_cutoff": "0.3"}, "layer_decay_cutoff needs layer_decay below 1"),
    (
        {"head": "probe", "trained": "backbone", "layer_decay": "0.2", "layer_decay_cutoff": "0.3"},
        "layer_decay=0.2 is below layer_decay_cutoff=0.3: no layer would be trained",
    ),
    ({"layer_decay": "0.9", "layer_decay_cutoff": "1"}, "layer_decay_cutoff=1: "),
    ({"optimizer": "sgd"}, "optimizer=sgd: must be one of auto, adam, adamw"),
    ({"precision": "fp8"}, "precision=fp8: "),
    ({"checkpointing": "maybe"}, "checkpointing=maybe: must be one of true, false, auto"),
    ({"drop_path": "1"}, "drop_path=1: "),
    ({"demo_images": "3"}, "demo_images=3: "),
    ({"seed": "-1"}, "seed=-1: "),
    ({"bach_size": "8"}, "bach_size: no such parameter. Nearest: batch_size"),
    ({"zzz": "8"}, "zzz: no such parameter.\n"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[str(values) for values, _ in BAD])
def test_what_is_wrong_is_said(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values)
    assert message in str(caught.value)
    assert "`fracture train --help`" in str(caught.value)


def test_every_problem_is_shown_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"lr": "2", "optimzer": "adam", "precision": "fp8", "epochs": "0"})
    for name in ("lr=2", "optimzer", "precision=fp8", "epochs=0"):
        assert name in str(caught.value)


def test_combinations_are_shown_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"accumulation": "3", "warmup_epochs": "1", "val_fraction": "0.49", "test_fraction": "0.49"})
    for words in ("accumulation=3", "warmup_epochs needs", "less than a tenth"):
        assert words in str(caught.value)


def test_nothing_given_means_the_defaults() -> None:
    assert parse({}) == TrainConfig()


def test_the_defaults_are_the_recipe_to_reproduce() -> None:
    c = TrainConfig()
    assert (c.model, c.batch_size, c.optimizer, c.lr, c.weight_decay) == ("convnextv2", 16, "adam", 1e-4, 0.0)
    assert (c.scheduler, c.plateau_patience, c.plateau_factor, c.early_stop_patience) == ("plateau", 3, 0.5, 5)


def test_defaults_as_text_come_back_as_the_defaults() -> None:
    assert parse(defaults()) == TrainConfig()


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "on"])
def test_booleans_are_taken_as_people_and_yaml_write_them(text: str) -> None:
    assert parse({"checkpointing": text}).checkpointing is True


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("0.0001", 1e-4), (" 3e-05 ", 3e-5), ("1", 1.0)])
def test_rates_are_taken_in_every_spelling(text: str, value: float) -> None:
    assert parse({"lr": text}).lr == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("image_size", "288", 288),
        ("epochs", "5", 5),
        ("threads", "2", 2),
        ("epochs", "auto", "auto"),
        ("memory_limit_gib", "7.6", 7.6),
        ("checkpointing", "false", False),
        ("checkpointing", "auto", "auto"),
        ("accumulation", "2", 2),
    ],
)
def test_numbers_or_auto(name: str, text: str, value: object) -> None:
    assert getattr(parse({name: text}), name) == value


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "lr": st.floats(1e-12, 1.0),
            "weight_decay": st.floats(0, 1),
            "seed": st.integers(0, 2**63),
            "epochs": st.one_of(st.just("auto"), st.integers(1, 10_000)),
            "image_size": st.one_of(st.just("auto"), st.integers(32, 1024)),
            "batch_size": st.integers(1, 4096),
            "checkpointing": st.booleans(),
            "scheduler": st.sampled_from(["plateau", "cosine", "constant"]),
            "drop_path": st.floats(0, 1, exclude_max=True),
        },
    )
)
def test_every_configuration_survives_text(values: dict[str, Any]) -> None:
    wanted = TrainConfig(**values)
    assert parse(as_text(wanted)) == wanted


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TrainConfig().lr = 1.0  # type: ignore[misc]


def test_every_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in TrainConfig.model_fields.values())


@pytest.mark.parametrize(("word", "found"), [
    ("swni", "swin"), ("convnextv", "convnextv2"), ("qqqq", ""), ("MaxVit", "maxvit"), ("NO_FRACTURE", "no fracture"),
    ("nofracture", "no fracture"), ("No-Fractur", "no fracture"),
])  # fmt: skip
def test_nearest_names(word: str, found: str) -> None:
    sentence = nearest(word, ["swin", "maxvit", "convnextv2", "no fracture"])
    assert (found in sentence) if found else sentence == ""


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert folder_of("auto") == tmp_path / "cache"
    assert folder_of("~/mine") == tmp_path / "mine"


def _run(*arguments: str) -> dict[str, str | None]:
    seen: dict[str, str | None] = {}

    @click.command()
    @options.options_of(TrainConfig)
    def command(**values: str | None) -> None:
        seen.update(values)

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen


@pytest.mark.parametrize("flag", ["--batch-size", "--batch_size"])
def test_options_take_dashes_and_underscores(flag: str) -> None:
    assert options.given(_run(flag, "8", "--lr=1e-3")) == {"batch_size": "8", "lr": "1e-3"}


def test_every_setting_is_an_option_and_none_is_given_by_itself() -> None:
    values = _run()
    assert set(values) == set(TrainConfig.model_fields)
    assert options.given(values) == {}


def test_help_shows_defaults_and_what_is_allowed() -> None:
    @click.command()
    @options.options_of(TrainConfig)
    def command(**values: str | None) -> None:
        pass

    text = CliRunner().invoke(command, ["--help"], terminal_width=400).output
    rows = {line.split()[0]: " ".join(line.split()) for line in text.splitlines() if line.strip().startswith("--")}
    assert rows.keys() == {"--" + name.replace("_", "-") + "," for name in TrainConfig.model_fields if "_" in name} | {
        "--" + name for name in TrainConfig.model_fields if "_" not in name
    } | {"--help"}
    assert "adam|adamw" in rows["--optimizer"]
    assert "true|false" in rows["--checkpointing"]
    assert "INT|auto" in rows["--epochs"]
    assert "true|false|auto" in rows["--checkpointing"]
    assert "FLOAT|auto" in rows["--memory-limit-gib,"]
    assert "INT|auto" in rows["--accumulation"]
    assert "INT|all" in rows["--fold"]
    assert "FLOAT|auto" in rows["--lr"]
    assert "[default: auto (0.0001); above 0, at most 1]" in rows["--lr"]
    assert "[default: 16; 1 to 4,096]" in rows["--batch-size,"]
    assert "[default: auto; 1 to 10,000]" in rows["--epochs"], "auto is beside the option"
    assert "[default: false]" in rows["--deterministic"]
    for name, default in defaults().items():
        assert f"[default: {default}" in " ".join(text.split()), name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lr", "above 0, at most 1"),
        ("folds", "1 to 20"),
        ("checkpointing", "true, false, auto"),
        ("memory_limit_gib", "0.25 to 4,096 or auto"),
        ("audit", "strict, warn, off"),
        ("data", ""),
        ("seed", "at least 0"),
    ],
)
def test_what_is_allowed_is_said_in_words(name: str, words: str) -> None:
    assert allowed(TrainConfig.model_fields[name]) == words


def test_a_default_that_was_typed_is_told_from_one_that_was_not() -> None:
    assert config.as_text(parse({}))["lr"] == "auto"
    assert config.as_text(parse({"lr": "auto"}))["lr"] == "auto"
    typed = parse({"lr": "0.0001", "features": "backbone"})
    assert (config.as_text(typed)["lr"], config.as_text(typed)["features"]) == ("0.0001", "backbone")
    assert config.changed(typed) == {"lr": "0.0001", "features": "backbone"}
    assert parse(config.as_text(typed)) == typed == TrainConfig()
    assert config.as_text(config.absolute(typed))["lr"] == "0.0001"


def test_the_module_derives_text_from_one_place() -> None:
    assert list(config.defaults()) == list(TrainConfig.model_fields)
