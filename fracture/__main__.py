"""The `fracture` command: finds the verb, and turns failures into one message and an exit code."""

import ast
import difflib
import importlib
import pkgutil
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

import fracture
from fracture import commands
from fracture.errors import FractureError
from fracture.failures import explained
from fracture.files import as_lines
from fracture.privacy import guarded_streams, without_secrets
from fracture.runs.attached import tag_refused

_CALLED = {"learning_rate": "lr", "backbone": "model", "arch": "model"}  # what other programs call it: what it is here


class Commands(click.Group):
    """Commands: the modules of `fracture.commands`; each is imported only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of the verbs."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__) if module.name != "options")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb.

        Raises:
            click.UsageError: no such verb; the nearest is named.
        """
        known = self.list_commands(ctx)
        if cmd_name not in known:
            near = difflib.get_close_matches(cmd_name.lower(), known, n=1, cutoff=0.5)
            meant = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(known)}."
            raise click.UsageError(f"No such command '{cmd_name}'. {meant}", ctx)
        command: click.Command = importlib.import_module(f"fracture.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with the sentence that each module begins with, which needs no import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _sentence(name)) for name in self.list_commands(ctx)])


def _sentence(verb: str) -> str:
    source = (Path(commands.__file__).parent / f"{verb}.py").read_text(encoding="utf-8")
    said = (ast.get_docstring(ast.parse(source)) or "").partition(": ")[2].splitlines()[0]
    return said[:1].upper() + said[1:]


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(fracture.__version__, prog_name="fracture")
def cli() -> None:
    """Train, evaluate and serve a bone-fracture classifier. Research software, not a medical device."""


class _Loading(MetaPathFinder):
    """Says on a terminal that the large libraries are loaded, which takes seconds, before the first of them is."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """Find nothing, and speak once."""
        if fullname in ("torch", "mlflow") and self in sys.meta_path:
            sys.meta_path.remove(self)
            click.echo("Loading PyTorch and MLflow ...", err=True)


@contextmanager
def _loading_said() -> Iterator[None]:
    finder = _Loading()
    if sys.stderr.isatty():
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


def run(command: click.Command, name: str) -> None:
    """Run a command line; failures end in one message and the exit codes of `fracture.errors`.

    Args:
        command: what is run.
        name: as the user calls it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until training watches for both itself
    with guarded_streams(), _loading_said():
        if (encoding := sys.getfilesystemencoding()) != "utf-8":
            click.echo(
                f"File names are read as {encoding} here; set PYTHONUTF8=1 if they hold other letters.", err=True
            )
        _run(command, name)


def _run(command: click.Command, name: str) -> None:
    try:
        command(prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        if hint := _other_spelling(sys.argv[1:]):
            click.echo(hint, err=True)
        if getattr(error, "ctx", None) is None:  # click's parser does not say where it was
            click.echo(f"Try '{name} {' '.join(sys.argv[1:2])} --help' for help.", err=True)
        tag_refused(next((word for word in sys.argv[1:2] if word[:1] != "-"), "tune"), error.format_message())
        sys.exit(2)
    except FractureError as error:
        _fail(error)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted (exit code 6): the same command starts again, or finishes what was begun.", err=True)
        sys.exit(6)
    except Exception as error:  # noqa: BLE001 - shown whole, but without secrets: Python itself would print after the guard
        if (known := explained(error)) is not None:
            _fail(known)
        traceback.print_exc()
        click.echo("Unforeseen (exit code 1): please report it with the lines above.", err=True)
        sys.exit(1)


def _other_spelling(words: list[str]) -> str:
    """What to say to who has typed what `mlflow run` takes, or what other programs call a parameter."""
    pairs = [
        word for before, word in pairwise(["", *words]) if re.fullmatch(r"[a-z_]+=.*", word) and before[:2] != "--"
    ]
    if "-P" in words or pairs:
        return "NAME=VALUE is for `mlflow run . -P NAME=VALUE`; here it is --NAME VALUE."
    names = (word.removeprefix("--").partition("=")[0].replace("-", "_") for word in words if word.startswith("--"))
    return next((f"It is called --{_CALLED[name]} here." for name in names if name in _CALLED), "")


def _fail(error: FractureError) -> NoReturn:
    style = "yellow" if error.exit_code == 6 else "red"
    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    console.print(f"[bold {style}]{type(error).__name__}[/] (exit code {error.exit_code})", end="\n")
    console.print(as_lines(without_secrets(str(error))), markup=False)
    sys.exit(error.exit_code)


def main() -> None:
    """The `fracture` command."""
    run(cli, "fracture")


if __name__ == "__main__":
    main()
