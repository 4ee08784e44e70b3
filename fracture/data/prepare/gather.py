"""From what people have (folders, archives, CSV files, manifests) to records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fracture.data.groups import original_keys
from fracture.data.inspection.inspect import Progress
from fracture.data.manifest import read_csv
from fracture.data.prepare.archives import ENDINGS, extract, is_archive
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.labelling import label_tree
from fracture.data.prepare.layouts import Layout
from fracture.data.prepare.pairs import parse_pairs
from fracture.data.prepare.paths import place
from fracture.data.prepare.records import Exclusion, Record
from fracture.data.prepare.tables import read_table
from fracture.data.prepare.trees import walk
from fracture.errors import ConfigError, DataError


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
    """

    given: Path
    kind: str
    records: list[Record]
    excluded: list[Exclusion]
    layout: Layout | None
    others: Counter[str]


def gather(
    sources: list[Path], config: PrepareConfig, images_dir: Path, progress: Progress | None = None
) -> list[Gathered]:
    """Read every source.

    Args:
        sources: folders, zip or tar archives, and CSV files.
        config: how paths and columns are read.
        images_dir: where archives are unpacked.
        progress: told what is being done.

    Raises:
        ConfigError: as many source names as sources are needed, or a class in ``label_map`` that no source holds.
        DataError: a source is missing, broken, or holds no image: all of them at once.
    """
    names = [name.strip() for name in config.source.split(",")] if config.source else [""]
    if len(names) not in (1, len(sources)):
        raise ConfigError(f"source={config.source}: {len(names)} names for {len(sources)} sources; one, or one each")
    gathered: list[Gathered] = []
    problems: list[str] = []
    names = names * len(sources) if len(names) == 1 else names
    for source, name in zip(sources, _apart(sources, names), strict=True):
        try:
            gathered.append(_read(source.expanduser(), name, config, images_dir, progress))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(problems)
    _check_label_map(gathered, config)
    _check_group_pattern(gathered, config)
    return [_map_labels(one, config) for one in gathered] if config.label_map else gathered


def _apart(sources: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Names given, and for folders of one name without any that of the folder above too: they are two sources."""
    real = [source.expanduser().resolve() for source in sources]
    own = Counter(path.name for path, name in zip(real, names, strict=True) if not name)
    return [
        name or (f"{path.parent.name}-{path.name}" if own[path.name] > 1 and path.is_dir() else "")
        for path, name in zip(real, names, strict=True)
    ]


def gather_again(data: Path, config: PrepareConfig, images_dir: Path, progress: Progress | None = None) -> Gathered:
    """Read a manifest, or any source, to be grouped and split anew; groups and labels stay, splits are dropped.

    Raises:
        DataError: missing or broken.
    """
    if data.suffix.lower() != ".csv":
        return gather([data], config, images_dir, progress)[0]
    if idle := [name for name in ("group_pattern", "label_pattern", "label_map", "columns") if getattr(config, name)]:
        raise ConfigError(
            f"{', '.join(idle)}: --regroup takes labels and groups of a manifest as they are; give it as SOURCE with "
            "--resplit true"
        )
    manifest = read_csv(data)
    keys = original_keys([place(manifest.relative(row), row.split) for row in manifest.rows])
    records = [
        Record(
            row.path, row.label, "", row.group, f"{row.source}/{key}", row.source,
            {name: value for name, value in row.extra.items() if name != "fold"},
        )
        for row, key in zip(manifest.rows, keys, strict=True)
    ]  # fmt: skip
    return Gathered(data, "manifest", records, [], None, Counter())


def _read(source: Path, name: str, config: PrepareConfig, images_dir: Path, progress: Progress | None) -> Gathered:
    if not source.exists():
        raise DataError(f"{source}: does not exist")
    if source.suffix.lower() == ".csv":
        root = Path(config.root).expanduser() if config.root else None
        records, excluded = read_table(source, parse_pairs(config.columns), root, name)
        return Gathered(source, "CSV", records, excluded, None, Counter())
    refused: list[Exclusion] = []
    if source.is_dir():
        kind, tree = "folder", walk(source, source.resolve().name)
    elif is_archive(source):
        folder, refused = extract(source, images_dir, progress)
        kind, tree = "archive", walk(folder, source.name.split(".")[0])
    else:
        raise DataError(f"{source}: is no folder, CSV file or archive; archives end in {', '.join(ENDINGS)}")
    if not tree.images:
        found = ", ".join(f"{count} {suffix}" for suffix, count in tree.others.most_common(5)) or "nothing else"
        why = "".join(f"; {one.path}: {one.reason}" for one in (*refused, *tree.excluded)[:3])
        raise DataError(f"{source}: no image files below it (found {found}{why})")
    records, excluded, layout = label_tree(tree, config, name)
    return Gathered(source, kind, records, [*refused, *tree.excluded, *excluded], layout, tree.others)


def _check_label_map(gathered: list[Gathered], config: PrepareConfig) -> None:
    """A class that no source holds is a slip of the pen."""
    held = {record.label for one in gathered for record in one.records}
    if slips := sorted(set(parse_pairs(config.label_map)) - held):
        raise ConfigError(f"label_map: no image of {', '.join(slips)}; the classes are {', '.join(sorted(held))}")


def _check_group_pattern(gathered: list[Gathered], config: PrepareConfig) -> None:
    """A pattern that finds no patient at all would leave them torn apart."""
    records = [record for one in gathered if one.kind != "CSV" for record in one.records]
    if config.group_pattern and not any(record.patient for record in records):
        where = f"any path, as {records[0].path}" if records else "CSV files, whose column it is: columns=patient=NAME"
        raise ConfigError(f"group_pattern={config.group_pattern}: finds nothing in {where}")


def _map_labels(one: Gathered, config: PrepareConfig) -> Gathered:
    """Rename classes, and leave out those that are mapped to nothing."""
    mapping = parse_pairs(config.label_map)
    records: list[Record] = []
    excluded = list(one.excluded)
    for record in one.records:
        label = mapping.get(record.label, record.label)
        if label:
            records.append(replace(record, label=label))
        else:
            reason = "its class is left out by label_map"
            excluded.append(Exclusion(str(record.path), reason, record.label, record.source))
    return replace(one, records=records, excluded=excluded)
