"""The files that the rows of a table lead to: which are believed to be meant, and which no row names."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from fracture.data.exclusions import Exclusion
from fracture.data.prepare.dicom_tags import Tagged
from fracture.data.prepare.index import FileIndex
from fracture.data.prepare.table_rows import Named
from fracture.data.trees import is_image


def believed(table: Path, records: Sequence[Named], index: FileIndex, excluded: list[Exclusion]) -> list[Named]:
    """The records whose file is certainly the one that the table means; ``excluded`` takes the others."""
    doubtful = {id(one): reason for one, reason in _doubtful(records, index)}
    excluded += [
        Exclusion(f"{table} {one.name[:300]}", f"{doubtful[id(one)]}: {one.record.path}", one.record.label,
                  one.record.source)
        for one in records if id(one) in doubtful
    ]  # fmt: skip
    return [one for one in records if id(one) not in doubtful]


def _doubtful(records: Sequence[Named], index: FileIndex) -> list[tuple[Named, str]]:
    """Those whose file was found in another folder than the table says, with the reason why it is not believed.

    It is where all rows with folders are so found and none of these is there: they are those of another machine.
    """
    names: dict[Path, set[str]] = {}
    for one in records:
        names.setdefault(one.record.path, set()).add(one.name)
    found = any("/" in one.name.replace("\\", "/") and not one.elsewhere for one in records)
    twice = "only a file of the same name in another folder is there, and other rows name it"
    alone = "only a file of the same name in another folder is there, while other folders of the table are there"
    return [
        (one, twice if len(names[one.record.path]) > 1 else alone)
        for one in records
        if one.elsewhere and (found or len(names[one.record.path]) > 1 or index.has_folder_of(one.name))
    ]


def found_by_name(records: Sequence[Named]) -> list[str]:
    """A sentence on rows whose folders are not there."""
    elsewhere = [one for one in records if one.elsewhere]
    return [
        f"{len(elsewhere):,} rows name folders that are not there; their files were found by name alone, e.g. "
        f"{one.name[:100]} as {one.record.path}"
        for one in elsewhere[:1]
    ]


def unnamed_by_tag(tagged: Tagged, index: FileIndex, named: Collection[Path], source: str) -> list[Exclusion]:
    """The images below the root that no row names by a tag, each with the reason."""
    left = [path for one in index.tree.images if (path := index.tree.root / one) not in named]
    return [Exclusion(str(path), tagged.why_unnamed(str(path)), source=source) for path in left]


def unnamed(used: Collection[Path], named: Collection[Path], table: str) -> list[str]:
    """A sentence on the images that lie beside the used ones and that no row names, be it one that is left out."""
    beside = [
        entry.path
        for folder in sorted({path.parent for path in used})
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and entry.is_file() and Path(entry.path) not in named and is_image(entry.path)
    ]
    if not beside:
        return []
    shown = ", ".join(sorted(os.path.basename(path) for path in beside)[:3])  # noqa: PTH119
    return [f"{len(beside):,} images beside them are named by no row of {table}: {shown}"]
