"""MLproject, the command line and the configuration say the same, and conda.yaml what pyproject asks for."""

import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fracture import config
from fracture.commands.train import command as train
from fracture.config import TrainConfig

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA: dict[str, Any] = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
MAIN = PROJECT["entry_points"]["main"]
ENTRIES = PROJECT["entry_points"].items()


def pins() -> list[Requirement]:
    """What conda.yaml installs with pip."""
    (listed,) = (part["pip"] for part in CONDA["dependencies"] if isinstance(part, dict))
    return [Requirement(line) for line in listed]


def test_parameters_are_the_settings_in_their_order() -> None:
    assert list(MAIN["parameters"]) == list(TrainConfig.model_fields)


@pytest.mark.parametrize("name", TrainConfig.model_fields)
def test_each_parameter_agrees_everywhere(name: str) -> None:
    declared = MAIN["parameters"][name]
    assert declared == {"type": "string", "default": config.defaults()[name]}
    (option,) = (p for p in train.params if p.name == name)
    flag = "--" + name.replace("_", "-")
    assert flag in option.opts
    assert shlex.split(MAIN["command"]).count(f"{flag}={{{name}}}") == 1


def test_the_command_passes_nothing_else() -> None:
    words = shlex.split(MAIN["command"])
    assert words[:4] == ["python", "-m", "fracture", "train"]
    assert len(words) == 4 + len(TrainConfig.model_fields)


def test_the_options_are_the_settings() -> None:
    assert [p.name for p in train.params] == ["like", "config", "verbose", "parent", *TrainConfig.model_fields]


def test_the_defaults_of_mlproject_are_those_of_training() -> None:
    assert config.parse({name: p["default"] for name, p in MAIN["parameters"].items()}) == TrainConfig()


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_every_entry_point_uses_each_parameter_once(name: str, entry: dict[str, Any]) -> None:
    parameters = entry.get("parameters", {})
    assert sorted(re.findall(r"\{(\w+)\}", entry["command"])) == sorted(parameters)
    assert all(p["type"] == "string" and isinstance(p.get("default", ""), str) for p in parameters.values())
    words = [w for w in shlex.split(entry["command"]) if "{" in w]
    assert all(re.match(r"(--[\w-]+=)?\{\w+\}$", w) for w in words)  # values may start with a -
    assert entry["command"].startswith("python -m ")


def test_one_environment_is_named() -> None:
    assert PROJECT["conda_env"] == "conda.yaml"
    assert not {"python_env", "docker_env"} & PROJECT.keys()
    assert PROJECT["name"] == CONDA["name"] == PYPROJECT["name"]


def test_conda_lists_every_dependency_under_pip() -> None:
    wanted = {canonicalize_name(Requirement(line).name) for line in PYPROJECT["dependencies"]}
    assert wanted <= {canonicalize_name(pin.name) for pin in pins()}


def test_conda_lists_nothing_twice_and_nothing_unknown() -> None:
    extras = [line for lines in PYPROJECT["optional-dependencies"].values() for line in lines]
    known = {canonicalize_name(Requirement(line).name) for line in [*PYPROJECT["dependencies"], *extras]}
    names = [canonicalize_name(pin.name) for pin in pins()]
    assert len(names) == len(set(names))
    assert set(names) <= known


@pytest.mark.parametrize("line", PYPROJECT["dependencies"])
def test_pins_lie_inside_what_is_allowed(line: str) -> None:
    wanted = Requirement(line)
    (pin,) = (p for p in pins() if canonicalize_name(p.name) == canonicalize_name(wanted.name))
    (exact,) = pin.specifier
    assert exact.operator == "=="
    assert wanted.specifier.contains(exact.version)


def test_the_project_itself_is_not_in_its_environment() -> None:
    """Environments are kept by the text of their dependencies, so it would serve stale code."""
    lines = [part for part in CONDA["dependencies"] if isinstance(part, str)]
    (listed,) = (part["pip"] for part in CONDA["dependencies"] if isinstance(part, dict))
    own = canonicalize_name(PYPROJECT["name"])
    assert own not in {canonicalize_name(pin.name) for pin in pins()}
    assert not [line for line in [*lines, *listed] if line.startswith((".", "-", "git+", "file:")) or "@" in line]


def test_conda_asks_for_one_supported_python() -> None:
    (version,) = (line.split("=")[-1] for line in CONDA["dependencies"] if str(line).startswith("python="))
    minimum = tuple(map(int, PYPROJECT["requires-python"].removeprefix(">=").split(".")))
    assert tuple(map(int, version.split("."))) >= minimum
    assert sys.version_info[:2] >= minimum
