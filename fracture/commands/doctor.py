"""`fracture doctor`: check the machine, the store and leftovers of killed runs."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fracture.progress import Terminal

if TYPE_CHECKING:
    from fracture.runs.doctor import Finding


@click.command()
@click.option(
    "--fix",
    is_flag=True,
    help="Mark runs whose process is gone as KILLED, and delete training states that are no longer needed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(fix: bool, as_json: bool) -> None:
    """Check versions, devices, memory, disks, store, weights, extras and leftovers; paste the output into an issue.

    Exit code 0: no problem. 1: a problem; each such line says how to fix it.
    """
    from fracture.runs import doctor  # a heavy import

    found = doctor.examine(fix)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False))
    else:
        _show(found, Terminal())
    sys.exit(int(any(one.status == "problem" for one in found)))


def _show(found: "list[Finding]", terminal: Terminal) -> None:
    for one in found:
        style = {"ok": "", "note": "yellow", "problem": "bold red"}[one.status]
        terminal.say(f"{one.status:<8} {one.name}: {one.said}", style)
        if one.fix:
            terminal.say(f"         -> {one.fix}", style)
