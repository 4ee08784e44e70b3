"""What is said of label files that lie beside images that cannot be labelled by their folders."""

import shlex
from collections import Counter
from pathlib import Path, PurePosixPath

from fracture.data.annotations import find
from fracture.data.listing import some
from fracture.data.prepare.columns import SPELLINGS
from fracture.data.tables import TABLES, named_column, open_table
from fracture.data.trees import Tree
from fracture.errors import DataError

_SHOWN = 3


def how_to_read(tree: Tree) -> str:
    """The label files of a tree and the commands that read them, as the end of a message; empty if there are none."""
    if not tree.labels:
        return ""
    counts = Counter(PurePosixPath(path).suffix.lower()[1:].upper() for path in tree.labels)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    commands = [*_annotations(tree), *(_table(tree.root / path) for path in _tables(tree)[:_SHOWN])]
    ways = "".join(f"\n  {command}" for command in commands)
    more = f"; to read them:{ways}" if ways else ""
    return f"\nFiles that may hold the labels lie there ({kinds}): {some(tree.labels, _SHOWN)}{more}"


def _tables(tree: Tree) -> list[str]:
    return [path for path in tree.labels if PurePosixPath(path).suffix.lower() in TABLES]


def _annotations(tree: Tree) -> list[str]:
    root = shlex.quote(str(tree.root))
    return [
        f"fracture prepare {root} --layout annotations --background no_fracture --out manifest.csv  ({one.kind})"
        for one in [one for one in find(tree.root, tree.images, tree.labels) if one.findings][:1]
    ]


def _table(path: Path) -> str:
    """The command that reads a table, its columns filled in as far as their names tell."""
    place = shlex.quote(str(path))
    try:
        with open_table(path) as table:
            names = table.names
    except DataError:
        return f"fracture prepare {place} --out manifest.csv"
    found = {
        m: next((c for s in SPELLINGS[m] if (c := named_column(s, names))), "") for m in ("path", "label", "patient")
    }
    listed = {"path": found["path"] or "COLUMN", "label": found["label"] or "COLUMN"}
    listed |= {"patient": found["patient"]} if found["patient"] else {}
    columns = shlex.quote(",".join(f"{meaning}={name}" for meaning, name in listed.items()))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"fracture prepare {place} --columns {columns} --out manifest.csv  (columns: {shown})"
