"""`fracture audit`: check data for leakage and confounding before training."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fracture.allowed_values import parse_model
from fracture.commands.options import given, options_of
from fracture.data.audit.config import AuditConfig
from fracture.errors import ConfigError
from fracture.failures import check_output
from fracture.progress import Terminal
from fracture.runs import attached

if TYPE_CHECKING:
    from fracture.data.contents import Progress
    from fracture.data.manifest import Manifest

_PATH = click.Path(path_type=Path)
_AUTO = Path("auto")
_RUN = re.compile(r"[0-9a-f]{32}")


@click.command()
@click.argument("data", metavar="MANIFEST|DIR|RUN", type=_PATH)
@click.option(
    "--out",
    default="auto",
    show_default=True,
    type=_PATH,
    help="report file; a page is written beside it; auto is audit.json, for a RUN label_review.csv",
)
@options_of(AuditConfig)
@attached.tag_attached_run("audit")
def command(data: Path, out: Path, **values: str | None) -> None:
    """Check data for leakage and confounding before training; `demo` is the built-in set.

    For a RUN it lists the labels that may be wrong, the least probable first, by models that had not seen the image.

    Exit code 0: no leakage. 3: leakage; the message names the command that fixes it.
    """
    config = parse_model(AuditConfig, given(values), "fracture audit")
    of_run = bool(_RUN.fullmatch(str(data))) and not data.exists()
    out = Path("label_review.csv" if of_run else "audit.json") if out == _AUTO else out
    check_output(out, out.with_suffix(".png" if of_run else ".html"))
    kind = ".csv" if of_run else ".json"
    if out.suffix.lower() != kind:  # else the page beside a_v1.1 would be that of a_v1.2 too
        raise ConfigError(f"out={out}: must end in {kind}")
    if of_run:
        _review(str(data), out)
        return
    from fracture.data.audit.audit import audit_manifest, write_report  # heavy imports only once the values are right
    from fracture.data.cache import folder_of
    from fracture.runs.audit import refuse, show_audit

    cache_dir = folder_of(config.cache_dir)
    terminal = Terminal()
    with terminal.working() as progress:
        manifest = _open(data, cache_dir, progress)
        report = audit_manifest(manifest, cache_dir, progress, config)
    for note in manifest.notes:
        terminal.say(f"{note[0].upper()}{note[1:]}.")
    paths = write_report(report, out)
    show_audit(report, terminal)
    terminal.say(f"Written: {', '.join(str(path) for path in paths)}")
    attached.keep(paths, {"fracture.audit": report.verdict, "fracture.data_digest": report.digest})
    refuse(report, str(data))


def _review(run_id: str, out: Path) -> None:
    """Rank the labels of a run's images."""
    from fracture.runs.review import review_run
    from fracture.tracking import store

    terminal = Terminal()
    store.connect()
    found, paths = review_run(run_id, out)
    if not paths:
        terminal.warn(found.sentence)
        return
    terminal.say(found.sentence)
    terminal.say(f"Written: {', '.join(str(path) for path in paths)}")
    terminal.say(f"Correct its column label, then: fracture prepare SOURCE --corrections {out}")
    attached.keep(paths)


def _open(data: Path, cache_dir: Path, progress: "Progress") -> "Manifest":
    """The data set; ``demo`` is the built-in one, split as training splits it, unless a folder has that name."""
    from fracture.data.audit.audit import open_data
    from fracture.data.dataset import Source, read, split

    if str(data) != "demo" or data.exists():
        return open_data(data, cache_dir, progress)
    problems: list[str] = []
    return split(read(Source(), cache_dir, problems, progress), Source(), problems)
