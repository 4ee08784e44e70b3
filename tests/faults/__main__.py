"""`python -m tests.faults --kills N --pairs --outage S --fuzz N`: faults put into real commands, and what was lost."""

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

from tests import forked
from tests.faults import fuzz as fuzzing
from tests.faults.fuzz import Fuzzed
from tests.faults.kills import Killed, kill
from tests.faults.outage import Outage, outage
from tests.faults.pairs import AT_ONCE, Pair, pairs
from tests.faults.verbs import VERBS
from tests.faults.world import World

Rows = dict[str, list[dict[str, Any]]]
Fault = Killed | Pair | Outage | Fuzzed
_PACKAGES = ("torch", "timm", "mlflow", "optuna")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kills", default=0, help="kill -9 at random moments, over all verbs")
@click.option(
    "--verb", "only", multiple=True, type=click.Choice(sorted({*VERBS, *AT_ONCE})), help="only this one; once for each"
)
@click.option("--pairs", "at_once", is_flag=True, help="every two verbs at once on one store")
@click.option("--skip", default=0, help="so many pairs of the order of --seed were tried before")
@click.option("--outage", "away", default=0.0, help="seconds for which the tracking server of a training is killed")
@click.option("--fuzz", default=0, help="broken inputs, over all readers")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("faults.json"), show_default=True)
def main(
    kills: int, only: tuple[str, ...], at_once: bool, skip: int, away: float, fuzz: int, seed: int, out: Path
) -> None:  # fmt: skip
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
    found: Rows = {}
    folder = tempfile.mkdtemp(prefix="faults-")  # not one that deletes itself at exit: each child exits, too
    try:
        for kind, one in _faults(Path(folder), (kills, only, at_once, skip, away, fuzz), seed, out):
            found.setdefault(kind, []).append(vars(one))
            if one.problems:
                click.echo(f"{one}", err=True)
            out.write_text(json.dumps({"where": where(), "seconds": time.monotonic() - began, **found}, indent=1))
            out.with_suffix(".md").write_text(tables(found))
    finally:
        shutil.rmtree(folder)
    click.echo(tables(found))
    click.echo(f"{where()}; seed {seed}; {time.monotonic() - began:,.0f} s")
    raise SystemExit(int(any(row["problems"] for rows in found.values() for row in rows)))


def _faults(
    folder: Path, wanted: tuple[int, tuple[str, ...], bool, int, float, int], seed: int, out: Path
) -> Iterator[tuple[str, Fault]]:
    """One after the other, with its kind; so that nothing is lost when this command itself is stopped."""
    count, only, at_once, skip, away, fuzz = wanted
    world = World(folder)
    yield from (("kills", one) for one in kill(count, seed, world, tuple(name for name in only if name in VERBS)))
    if at_once:
        yield from (("pairs", pair) for pair in pairs(seed, world, only, skip))
    if away:
        yield "outage", outage(away, folder / "outage")
    if fuzz:
        yield from (("fuzz", one) for one in fuzzing.fuzz(fuzz, seed, folder / "fuzz", out.with_suffix(".inputs")))


def tables(found: Rows) -> str:
    """Markdown: a row for each command that was killed or met another, and for each reader that was fuzzed."""
    said = ""
    if "kills" in found:
        ways = ("resumed", "repeated", "finished before the kill")
        hits = [Killed(**row) for row in found["kills"] if row["hit"]]
        names = [name for name in VERBS if any(one.verb == name for one in hits)]
        rows = []
        for name in [*names, "all"]:
            of = [one for one in hits if name in (one.verb, "all")]
            counts = [sum(one.went_on == way for one in of) for way in ways]
            rows.append([name, len(of), *counts, sum(bool(one.problems) for one in of)])
        said += _markdown(["killed command", "kills", *ways, "something lost"], rows)
    if "pairs" in found:
        said += _of_pairs([Pair(**row) for row in found["pairs"]])
    for row in found.get("outage", ()):
        said += f"{Outage(**row).said}\n\n"
    if "fuzz" in found:
        said += _of_readers([Fuzzed(**row) for row in found["fuzz"]])
    return said


def _of_pairs(known: list[Pair]) -> str:
    rows: list[list[object]] = []
    for name in [*AT_ONCE, "all"]:
        of = [one for one in known if name in (one.first, one.second, "all")]
        refused, lost = sum(bool(one.refused) for one in of), sum(bool(one.problems) for one in of)
        rows.append([name, len(of), sum(not one.refused and not one.problems for one in of), refused, lost])
    said = _markdown(["command", "pairs", "both ended well", "one was refused", "something lost"], rows)
    why = [(one, name, what) for one in known for name, what in one.refused.items()]
    return said + "".join(f"- {one.first} with {one.second}: {name} said {what!r}\n" for one, name, what in why)


def _of_readers(readers: list[Fuzzed]) -> str:
    rows = [[one.reader, one.inputs, one.read, f"{one.slowest:.1f}", len(one.problems)] for one in readers]
    sums = [sum(one.inputs for one in readers), sum(one.read for one in readers)]
    last = [f"{max(one.slowest for one in readers):.1f}", sum(len(one.problems) for one in readers)]
    return _markdown(
        ["reader", "inputs", "read all the same", "slowest (s)", "crashes and hangs"], [*rows, ["all", *sums, *last]]
    )


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
