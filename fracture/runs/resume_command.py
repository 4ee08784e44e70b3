"""The command that does the same again or goes on, written in the way that this process was started."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from fracture.runs import launch

_PROGRAMS = {"main": "fracture train", "tune": "python -m tuning", "regroup": "fracture prepare"}


def command_line(values: Mapping[str, str], attached: bool, entry: str = "main") -> str:
    """A command line for a shell.

    Args:
        values: of the settings that are given; ``{run}`` stands for an id that is filled in later.
        attached: whether this process was started by ``mlflow run``.
        entry: name of the entry point.
    """
    if attached:
        from fracture.tracking import experiment  # brings mlflow, which the help does without

        given = [f"-P {name}={_quoted(value)}" for name, value in values.items()]
        where = [] if entry == "main" else [f"-e {entry}"]
        return " ".join(["mlflow run", launch.project(), *where, *_manager(), *experiment.option(), *given])
    flags = [f"--{name.replace('_', '-')} {_quoted(value)}" for name, value in values.items()]
    return " ".join([_PROGRAMS[entry], *flags])


def regroup_line(data: str, out: str, attached: bool) -> str:
    """As `command_line`, for the manifest ``out`` of ``data`` with groups that lie in one split each."""
    return command_line({"data" if attached else "regroup": data, "out": out}, attached, "regroup")


def _manager() -> list[str]:
    """The environment manager that ``mlflow run`` was given, judged by the interpreter that it chose."""
    prefix = Path(sys.prefix)
    if prefix.name.startswith("mlflow-"):
        return [] if (prefix / "conda-meta").is_dir() else ["--env-manager uv"]
    return ["--env-manager local"]


def _quoted(value: str) -> str:
    return value if value == "{run}" else shlex.quote(value)
