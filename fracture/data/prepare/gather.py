"""From what people have (folders, archives, CSV files, manifests) to records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fracture.allowed_values import nearest
from fracture.data.class_names import MAX_CLASSES, named_twice
from fracture.data.contents import Progress
from fracture.data.exclusions import Exclusion
from fracture.data.handmade import read_manifest
from fracture.data.listing import some
from fracture.data.originals import originals
from fracture.data.prepare.archives import ENDINGS, extract, is_archive
from fracture.data.prepare.cells import doubt_note
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.index import Indexes
from fracture.data.prepare.label_files import how_to_convert, how_to_read
from fracture.data.prepare.labelling import label_tree
from fracture.data.prepare.labels import label_of
from fracture.data.prepare.layouts import Layout
from fracture.data.prepare.pairs import canonical, parse_pairs
from fracture.data.prepare.paths import place
from fracture.data.prepare.patient_names import patients_in_names
from fracture.data.prepare.records import Record
from fracture.data.prepare.sources import Origin, link, origins
from fracture.data.prepare.table_files import unnamed
from fracture.data.prepare.tables import read_table
from fracture.data.tables import TABLES, UNSEEN, is_table
from fracture.data.trees import Tree, walk
from fracture.errors import ConfigError, DataError
from fracture.files import expanded


@dataclass(frozen=True)
class Gathered:
    """What one source holds.

    Attributes:
        given: the source as it was named.
        kind: ``folder``, ``archive``, ``CSV`` or ``manifest``.
        records: its images, not yet opened.
        excluded: what was left out by name or place, with the reason.
        layout: the data set that it was recognised as, if any.
        others: number of files that are no images, by suffix.
        notes: what was found out on the way, in sentences.
        base: the folder that its files lie below.
        tree: these files, where the source is no table.
        annotated: classes come from annotations.
        unlisted: annotations or boxes of a table say nothing of some of its images.
        named: the files that the rows of a table name.
    """

    given: Path
    kind: str
    records: list[Record]
    excluded: list[Exclusion]
    layout: Layout | None = None
    others: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    base: Path = Path()
    tree: Tree | None = None
    annotated: bool = False
    unlisted: bool = False
    named: frozenset[Path] = frozenset()


def gather(
    sources: list[Path],
    config: PrepareConfig,
    images_dir: Path,
    progress: Progress | None = None,
    excluded: list[Exclusion] | None = None,
) -> list[Gathered]:
    """Read every source, and give every image its label.

    Args:
        sources: folders, zip or tar archives, and CSV files.
        config: how paths and columns are read.
        images_dir: where archives are unpacked.
        progress: called with what is being done.
        excluded: takes what is left out, so that it is known also where everything is refused.

    Raises:
        ConfigError: as many source names as sources are needed, a class in ``label_map`` that no source holds, or what
            is said of tables has none.
        DataError: a source is missing, broken, or has no image: all of them at once; or too many classes.
    """
    names = [name.strip() for name in config.source.split(",")] if config.source else [""]
    if len(names) not in (1, len(sources)):
        raise ConfigError(f"source={config.source}: {len(names)} names for {len(sources)} sources; one, or one each")
    _check_tables(sources, config)
    gathered: list[Gathered] = []
    problems: list[DataError] = []
    names = names * len(sources) if len(names) == 1 else names
    left_out = [] if excluded is None else excluded
    found = origins(sources, names, config.root)
    indexes = Indexes(progress or (lambda *_: None))
    for source, origin in zip(sources, found, strict=True):
        try:
            gathered.append(_read(expanded(source), origin, config, images_dir, progress, left_out, indexes))
        except DataError as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else DataError([str(problem) for problem in problems])
    gathered = _with_unnamed(gathered)
    used = {str(record.path) for one in gathered for record in one.records}
    once = {(one.path, one.reason): one for one in left_out}
    left_out[:] = [one for one in once.values() if one.path not in used]  # by whichever source
    _check_label_map(gathered, config)
    _check_group_pattern(gathered, config)
    found = [
        replace(one, name=read.layout.name) if read.layout and not one.named else one
        for one, read in zip(found, gathered, strict=True)
    ]
    gathered = _linked([_with_patients(*one, config) for one in zip(gathered, found, strict=True)], found, config)
    labelled = [_labelled(one, config, left_out) for one in gathered]
    _check_classes(labelled)
    return labelled


def _with_unnamed(gathered: Sequence[Gathered]) -> list[Gathered]:
    """The sources with what is said of images beside those of tables that no row of any table names."""
    named, found = frozenset[Path]().union(*(one.named for one in gathered)), []
    for one in gathered:
        tables = some([table.given.name for table in gathered if table.named])
        said = unnamed([record.path for record in one.records], named, tables) if one.named else []
        found.append(replace(one, notes=[*one.notes, *said], unlisted=one.unlisted and (bool(said) or not one.named)))
    return found


def _check_tables(sources: Sequence[Path], config: PrepareConfig) -> None:
    """What is said of tables needs one, and the folder of their files must be there.

    Raises:
        ConfigError: it does not, or is not.
    """
    idle = [name for name in ("columns", "root") if getattr(config, name)]
    if idle and not any(map(is_table, sources)):
        raise ConfigError(
            f"{', '.join(idle)}: no SOURCE is a table ({', '.join(TABLES)}); give the table, not its folder"
        )
    if config.root and not expanded(config.root).is_dir():
        raise ConfigError(f"root={config.root}: no such folder; an archive must be unpacked first")


def _with_patients(one: Gathered, origin: Origin, config: PrepareConfig) -> Gathered:
    """The source with the patients of file names, where nothing else says any."""
    if config.patients == "ignore" or config.group_pattern or any(r.patient or r.group for r in one.records):
        return one
    found, note = patients_in_names([record.path.as_posix() for record in one.records])
    records = [replace(r, patient=f"{origin.name}/{p}" if p else "") for r, p in zip(one.records, found, strict=True)]
    return replace(one, records=records, notes=[*one.notes, note]) if note else one


def _linked(gathered: Sequence[Gathered], found: Sequence[Origin], config: PrepareConfig) -> list[Gathered]:
    """The sources with what only all of them together tell, which is said with the last."""
    notes: list[str] = []
    bases, believe = [one.base for one in gathered], config.originals == "names"
    records = link([one.records for one in gathered], bases, found, notes, believe)
    linked = [replace(one, records=own) for one, own in zip(gathered, records, strict=True)]
    return [*linked[:-1], replace(linked[-1], notes=[*linked[-1].notes, *notes])]


def gather_again(data: Path, config: PrepareConfig, images_dir: Path, progress: Progress | None = None) -> Gathered:
    """Read a manifest, or any source, to be grouped and split anew; groups and labels stay, splits are dropped.

    Raises:
        DataError: missing, broken, or a table that says what only a reading without ``--regroup`` understands.
    """
    if not is_table(data):
        return gather([data], config, images_dir, progress)[0]
    used = ("group_pattern", "label_pattern", "label_map", "columns", "background")
    if idle := [name for name in used if getattr(config, name)]:
        raise ConfigError(
            f"{', '.join(idle)}: --regroup takes labels and groups of a manifest as they are; give it as SOURCE with "
            "--resplit true"
        )
    manifest = read_manifest(data)
    found = originals([place(manifest.relative(row), row.split) for row in manifest.rows], config.originals == "names")
    records = [
        Record(
            row.path, row.label, group=row.group, original=f"{row.source}/{one.key}", rule=one.rule,
            source=row.source, extra={name: value for name, value in row.extra.items() if name != "fold"},
        )
        for row, one in zip(manifest.rows, found, strict=True)
    ]  # fmt: skip
    return Gathered(data, "manifest", records, [], notes=list(manifest.notes))


def _read(
    source: Path,
    origin: Origin,
    config: PrepareConfig,
    images_dir: Path,
    progress: Progress | None,
    left_out: list[Exclusion],
    indexes: Indexes,
) -> Gathered:
    if not source.exists():
        raise DataError(f"{source}: does not exist")
    if is_table(source):
        table = read_table(source, config, origin.name, indexes)
        left_out += table.excluded
        return Gathered(
            source, "CSV", table.records, table.excluded, notes=table.notes, base=table.base, unlisted=table.boxed,
            named=table.named,
        )  # fmt: skip
    excluded: list[Exclusion] = []
    others: Counter[str] = Counter()
    if source.is_dir():
        kind, tree = "folder", walk(source, source.resolve().name)
    elif is_archive(source):
        unpacked = extract(source, images_dir, progress)
        excluded, others = list(unpacked.excluded), unpacked.others
        kind, tree = "archive", walk(unpacked.folder, source.name.split(".")[0])
    else:
        raise DataError(
            f"{source}: is no folder, table ({', '.join(TABLES)}) or archive; archives end in {', '.join(ENDINGS)}",
            how_to_convert(source),
        )
    excluded += tree.excluded
    left_out += excluded
    others = others + tree.others
    if not tree.images:
        found = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5)) or "nothing else"
        why = "".join(f"; {one.path}: {one.reason}" for one in excluded[:3])
        raise DataError(f"{source}: no image files below it (found {found}{why}){how_to_read(tree)}")
    said = label_tree(tree, config, origin.name, origin.named)
    left_out += said.excluded
    return Gathered(
        source, kind, said.records, [*excluded, *said.excluded], said.layout, others, said.notes, tree.root, tree,
        said.annotated, said.unlisted,
    )  # fmt: skip


def _check_label_map(gathered: list[Gathered], config: PrepareConfig) -> None:
    """A class that no source holds is a slip of the pen."""
    records = [record for one in gathered for record in one.records]
    held = {record.label for record in records} | {label for r in records for label in r.findings or ()} | {""}
    held |= {canonical(label) for label in held}
    layouts = [one.layout for one in gathered if one.layout]
    in_paths = {value for layout in layouts for value in (*layout.labels, *layout.excluded)}
    if slips := sorted(
        old for old in parse_pairs(config.label_map) if not {old, canonical(old)} & held and old.lower() not in in_paths
    ):
        known = sorted(held - {""})
        near = nearest(slips[0], known) if len(slips) == 1 else ""
        raise ConfigError(
            f"label_map: no image of {', '.join(slips)}; the classes are {', '.join(known)}. {near}".rstrip()
        )


def _check_group_pattern(gathered: list[Gathered], config: PrepareConfig) -> None:
    """A pattern that finds no patient at all would leave them torn apart."""
    records = [record for one in gathered for record in one.records]
    if config.group_pattern and not any(record.patient for record in records):
        raise ConfigError(f"group_pattern={config.group_pattern}: finds nothing in any path, as {records[0].path}")


def _labelled(one: Gathered, config: PrepareConfig, left_out: list[Exclusion]) -> Gathered:
    """Every row with its one label; an image that none of its rows gives one is left out by name."""
    mapping = {canonical(old): new for old, new in parse_pairs(config.label_map).items()}
    said = [(record, *label_of(record, mapping, config.background)) for record in one.records]
    labelled = {record.path for record, label, _ in said if label}
    records = [  # a row without a label counts against those of its image that have one
        replace(record, label=label.strip(UNSEEN), findings=None, reason=reason)
        for record, label, reason in said
        if record.path in labelled
    ]
    without = {record.path: (record, reason) for record, _, reason in reversed(said) if record.path not in labelled}
    excluded = [
        Exclusion(str(path), reason, record.label, record.source)
        for path, (record, reason) in reversed(without.items())
    ]
    left_out += excluded
    notes = [*one.notes, *doubt_note({record.label for record in records})]
    return replace(one, records=records, excluded=[*one.excluded, *excluded], notes=notes)


def _check_classes(gathered: list[Gathered]) -> None:
    """How many classes there are is known before anything is decoded."""
    counts = Counter(record.label for one in gathered for record in one.records if record.label)
    said, pairs = named_twice(counts)
    if said:
        raise DataError(said, f"If they are the same: --label-map {pairs}.")
    if len(counts) > MAX_CLASSES:
        shown = ", ".join(f"{label} ({n:,})" for label, n in counts.most_common(5))
        raise DataError(
            f"{len(counts):,} classes, more than {MAX_CLASSES}: {shown}, ...",
            "Is it another column or folder? --columns label=NAME and --label-pattern say which, --label-map "
            "OLD=NEW,OTHER= renames classes and excludes them.",
        )
