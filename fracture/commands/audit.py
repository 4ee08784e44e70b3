"""`fracture audit`: look for leakage in data before anything trains, with evidence to look at."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fracture.commands.options import given, options_of
from fracture.config import parse_model
from fracture.data.audit.config import AuditConfig
from fracture.progress import Terminal
from fracture.runs import attached

if TYPE_CHECKING:
    from fracture.data.inspection.inspect import Progress
    from fracture.data.manifest import Manifest

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("data", metavar="MANIFEST|DIR", type=_PATH)
@click.option("--out", default="audit.json", show_default=True, type=_PATH, help="the report, with its page beside it")
@options_of(AuditConfig)
def command(data: Path, out: Path, **values: str | None) -> None:
    """Look for leakage and for classes that equal their source, before anything trains; `demo` is the built-in set.

    Exit code 0: no leakage; 3: leakage, and the message names the command that mends it.
    """
    config = parse_model(AuditConfig, given(values), "fracture audit")
    from fracture.data.audit.audit import audit_manifest, write_report  # heavy imports only once the values are right
    from fracture.data.cache import folder_of
    from fracture.runs.audit import refuse, show_audit

    cache_dir = folder_of(config.cache_dir)
    terminal = Terminal()
    with attached.accounted("audit"):
        with terminal.working() as progress:
            report = audit_manifest(_open(data, cache_dir, progress), cache_dir, progress, config)
        paths = write_report(report, out)
        show_audit(report, terminal)
        terminal.say(f"Written: {', '.join(str(path) for path in paths)}")
        attached.keep(paths, {"fracture.audit": report.verdict, "fracture.data_digest": report.digest})
        refuse(report, str(data))


def _open(data: Path, cache_dir: Path, progress: "Progress") -> "Manifest":
    """The data set; ``demo`` is the built-in one, split as training splits it, unless a folder has that name."""
    from fracture.data.audit.audit import open_data
    from fracture.data.dataset import Source, read, split

    if str(data) != "demo" or data.exists():
        return open_data(data, cache_dir, progress)
    problems: list[str] = []
    return split(read(Source(), cache_dir, problems, progress), Source(), problems)
