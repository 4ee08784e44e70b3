"""`python -m tests.faults --kills N --fuzz N --out FILE`: faults put into real commands, and what was lost."""

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from tests.faults import forked
from tests.faults import fuzz as fuzzing
from tests.faults.fuzz import Fuzzed
from tests.faults.kills import Killed, kill
from tests.faults.verbs import VERBS
from tests.faults.world import World

Rows = dict[str, list[dict[str, Any]]]
_PACKAGES = ("torch", "timm", "mlflow", "optuna")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kills", default=0, help="kill -9 at random moments, over all verbs")
@click.option("--verb", "only", multiple=True, type=click.Choice(list(VERBS)), help="only this one; once for each")
@click.option("--fuzz", default=0, help="broken inputs, over all readers")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("faults.json"), show_default=True)
def main(kills: int, only: tuple[str, ...], fuzz: int, seed: int, out: Path) -> None:
    """Put faults into real commands; tables are printed, and kept beside FILE. Exit code 1: something was lost."""
    began = time.monotonic()
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTHONWARNINGS": "ignore",
    }
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        os.environ.pop(name, None)
    forked.preload()
    found: Rows = {"kills": [], "fuzz": []}
    folder = tempfile.mkdtemp(prefix="faults-")  # not one that deletes itself at exit: each child exits, too
    try:
        for rows in _parts(Path(folder), kills, only, fuzz, seed, out):
            found |= rows
            out.write_text(json.dumps({"where": where(), "seconds": time.monotonic() - began, **found}, indent=1))
            out.with_suffix(".md").write_text(tables(found))
    finally:
        shutil.rmtree(folder)
    click.echo(tables(found))
    click.echo(f"{where()}; seed {seed}; {time.monotonic() - began:,.0f} s")
    raise SystemExit(int(any(row["problems"] for rows in found.values() for row in rows)))


def _parts(folder: Path, kills: int, only: tuple[str, ...], fuzz: int, seed: int, out: Path) -> Iterator[Rows]:
    """What was found until now, after each fault; so that nothing is lost when this command itself is stopped."""
    done: list[dict[str, Any]] = []
    for one in kill(kills, seed, World(folder), only):
        done.append(vars(one))
        if one.problems:
            click.echo(f"{one.verb} at {one.moment:.3f}: {one.problems}", err=True)
        yield {"kills": done}
    fuzzed: list[dict[str, Any]] = []
    if fuzz:
        for reader in fuzzing.fuzz(fuzz, seed, folder / "fuzz", out.with_suffix(".inputs")):
            fuzzed.append(vars(reader))
            yield {"fuzz": fuzzed}


def tables(found: Rows) -> str:
    """Markdown: a row for each command that was killed, and for each reader that was fuzzed."""
    said = ""
    if found["kills"]:
        ways = ("resumed", "given again", "whole before the kill")
        hits = [Killed(**row) for row in found["kills"] if row["hit"]]
        names = [name for name in VERBS if any(one.verb == name for one in hits)]
        rows = []
        for name in [*names, "all"]:
            of = [one for one in hits if name in (one.verb, "all")]
            counts = [sum(one.went_on == way for one in of) for way in ways]
            rows.append([name, len(of), *counts, sum(bool(one.problems) for one in of)])
        said += _markdown(["killed command", "kills", *ways, "something lost"], rows)
    if found["fuzz"]:
        readers = [Fuzzed(**row) for row in found["fuzz"]]
        rows = [[one.reader, one.inputs, one.read, f"{one.slowest:.1f}", len(one.problems)] for one in readers]
        sums = [sum(one.inputs for one in readers), sum(one.read for one in readers)]
        last = [f"{max(one.slowest for one in readers):.1f}", sum(len(one.problems) for one in readers)]
        said += _markdown(
            ["reader", "inputs", "read all the same", "slowest (s)", "crashes and hangs"],
            [*rows, ["all", *sums, *last]],
        )
    return said


def _markdown(names: list[str], rows: list[list[object]]) -> str:
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in lines) + "\n\n"


def where() -> str:
    """Versions and processor, as they belong beside a figure."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"Python {platform.python_version()}, {packages}, {os.cpu_count()} cores of {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
