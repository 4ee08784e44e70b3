"""`fracture prepare`: make a manifest with groups and splits from folders, archives and tables."""

from pathlib import Path

import click

from fracture.allowed_values import parse_model
from fracture.commands.options import given, options_of
from fracture.data.exclusions import Exclusion, reasons, write_exclusions
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.prepare import Prepared, prepare, write
from fracture.errors import ConfigError, DataError
from fracture.failures import check_output
from fracture.files import expanded
from fracture.progress import Terminal
from fracture.runs import attached

_SOURCE = click.Path(path_type=Path)
_KINDS = {"archive": "an archive"}


@click.command()
@click.argument("sources", metavar="[SOURCE]...", nargs=-1, type=_SOURCE)
@click.option(
    "--out",
    default="manifest.csv",
    show_default=True,
    type=_SOURCE,
    help="manifest file; two more files are written beside it",
)
@click.option(
    "--regroup",
    metavar="MANIFEST|DIR",
    type=_SOURCE,
    help="instead of SOURCE: make new groups and splits without leakage",
)
@options_of(PrepareConfig)
@attached.tag_attached_run("prepare")
def command(sources: tuple[Path, ...], out: Path, regroup: Path | None, **values: str | None) -> None:
    """Make a manifest from class folders, zip or tar archives, and CSV files; separate several by spaces or commas.

    Every file is decoded. Files that cannot be used are listed in MANIFEST.excluded.csv, each with its reason.
    """
    sources = tuple(part for source in sources for part in _parts(source))
    if bool(sources) == bool(regroup):
        raise ConfigError("Give one SOURCE or more, or --regroup MANIFEST|DIR.\n`fracture prepare --help` shows both.")
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"out={out}: must end in .csv")
    if out.resolve() in {expanded(source).resolve() for source in (*sources, *((regroup,) if regroup else ()))}:
        raise ConfigError(f"out={out}: is a source too, and would be overwritten; give another --out")
    check_output(out, out.with_suffix(".excluded.csv"), out.with_suffix(".json"))
    config = parse_model(PrepareConfig, given(values), "fracture prepare")
    terminal = Terminal()
    excluded: list[Exclusion] = []
    try:
        with terminal.working() as progress:
            prepared = prepare((regroup,) if regroup else sources, config, out, progress, regroup is not None, excluded)
    except DataError:
        _keep(excluded, out.with_suffix(".excluded.csv"), terminal)
        raise
    paths = write(prepared, out, config)
    show(prepared, terminal)
    terminal.say(f"Written: {', '.join(str(path) for path in paths)}")
    terminal.say(f"Data digest {prepared.manifest.digest()}. Next: fracture audit {out}")
    attached.keep(paths, {"fracture.data_digest": prepared.manifest.digest()})


def _keep(excluded: list[Exclusion], path: Path, terminal: Terminal) -> None:
    """Name what was left out also where everything is refused."""
    if excluded:
        write_exclusions(excluded, path)
        terminal.say(f"{len(excluded):,} files or rows were left out, each listed with its reason in {path}")


def _parts(source: Path) -> list[Path]:
    """The sources that one argument names: ``mlflow run`` has a single parameter for all of them."""
    if source.exists() or "," not in str(source):
        return [source]
    return [Path(part.strip()) for part in str(source).split(",") if part.strip()]


def show(prepared: Prepared, terminal: Terminal) -> None:
    """Print what was found, what was left out and how it was split."""
    manifest = prepared.manifest
    for one in prepared.sources:
        layout = one.layout
        about = (
            f"{layout.title}; {layout.citation}; licence: {layout.licence}"
            if layout
            else _KINDS.get(one.kind, f"a {one.kind}")
        )
        terminal.say(f"{one.given}: {len(one.records):,} images. {about}")
        for note in one.notes:
            terminal.say(f"  {note}")
        if one.others:
            counted = ", ".join(f"{count:,} {kind}" for kind, count in one.others.most_common(8))
            terminal.say(f"  no images, not used: {counted}")
    rows = [[split, *(f"{n:,}" for n in counts.values())] for split, counts in manifest.counts().items()]
    groups = len({row.group for row in manifest.rows})
    terminal.table(f"{len(manifest.rows):,} images, {groups:,} groups", ["split", *manifest.classes], rows)
    for reason, count in reasons(prepared.excluded):
        terminal.say(f"left out: {count:,} x {reason}")
    for note in (*(f"{count:,} {name}" for name, count in prepared.linked.items() if count), *prepared.notes):
        terminal.say(note)
