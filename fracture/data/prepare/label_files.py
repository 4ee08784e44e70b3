"""What is said of label files that lie beside images that cannot be labelled by their folders."""

import shlex
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from fracture.data.annotations import find
from fracture.data.formats import SUFFIXES
from fracture.data.listing import some
from fracture.data.prepare.archives import is_archive
from fracture.data.prepare.columns import SPELLINGS
from fracture.data.prepare.could import shown
from fracture.data.prepare.dicom_tags import find_tagged
from fracture.data.prepare.index import FileIndex, Indexes
from fracture.data.prepare.label_column import class_columns
from fracture.data.prepare.path_column import path_column
from fracture.data.prepare.sheet import Sheet
from fracture.data.tables import is_table, named_column, open_table
from fracture.data.trees import LABEL_FILES, Tree
from fracture.errors import DataError

_NO_KIND = (
    "none is of a kind that is read: export YOLO, COCO, Pascal VOC, LabelMe, VIA or CreateML, or write a CSV with the "
    "columns path and label, and give it as SOURCE"
)
_AS_CSV = "Make a CSV of it: python -c 'import pandas; pandas.{}.to_csv(\"{}.csv\", index=False{})'"
_LINES = (".jsonl", ".ndjson", ".manifest")  # an object of JSON in each line
_CONVERTED = (*_LINES, ".parquet")
_SHOWN = 3
_LOOKED_AT = 200  # rows
_LINE = 10_000  # characters
_MOST = 20  # tables that are opened


def how_to_read(tree: Tree) -> str:
    """The label files of a tree and the commands that read them, as the end of a message; empty if there are none."""
    if not tree.labels:
        return ""
    counts = Counter(PurePosixPath(path).suffix.lower()[1:].upper() for path in tree.labels)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    commands = [*_annotations(tree), *_tables([tree.root / path for path in tree.labels if is_table(Path(path))])]
    ways = "".join(f"\n  {command}" for command in commands)
    why = next((f"; {place}: {reason}" for one in find(tree.root, tree.images, tree.labels) if not one.findings
                for place, reason in one.problems), "")  # fmt: skip
    lines = next((tree.root / path for path in tree.labels if path.lower().endswith(_CONVERTED)), None)
    texts = [tree.root / path for path in tree.labels if path.lower().endswith(".txt")][:_MOST]
    lines = lines or next(filter(_is_list, texts), None)
    more = f"; to read them:{ways}" if ways else why or (f"\n{how_to_convert(lines)}" if lines else f"; {_NO_KIND}")
    return f"\nFiles that may hold the labels lie there ({kinds}): {some(tree.labels, _SHOWN)}{more}"


def how_to_convert(path: Path) -> str:
    """What to do with a file that is no folder and no manifest."""
    suffix, name = path.suffix.lower(), path.as_posix()
    if is_archive(path) or is_table(path):
        return f"`fracture prepare {shlex.quote(name)} --out manifest.csv` makes a manifest of it."
    if suffix in _LINES:
        return _AS_CSV.format(f'read_json("{name}", lines=True, dtype=False)', name.removesuffix(path.suffix), "")
    if suffix == ".parquet":
        return _AS_CSV.format(f'read_parquet("{name}")', name.removesuffix(path.suffix), "") + (
            "; images inside it must be saved as PNG first"
        )
    if suffix in (".npz", ".npy", ".h5", ".hdf5", ".pkl", ".mat"):
        return "Save its images as PNG, one folder for each class."
    if suffix == ".txt" and _is_list(path):
        code = rf'read_csv("{name}", sep=r"\s+", header=None, dtype=str)'
        return _AS_CSV.format(code, name.removesuffix(path.suffix), ", header=False")
    if suffix in LABEL_FILES and suffix not in (".xlsx", ".xls"):
        return "Annotations are read from the folder that holds them and the images: give that folder."
    return "Save a spreadsheet as CSV; put a single image into a folder of its class."


def _is_list(path: Path) -> bool:
    """Whether the first line of a text names an image and something else, as ``a.png 1`` does."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            words = file.readline(_LINE).split()
    except OSError:
        return False
    return len(words) > 1 and any(PurePosixPath(word).suffix.lower() in SUFFIXES for word in words)


def _tables(paths: Sequence[Path]) -> list[str]:
    """A command for each kind of table, those of one kind together: they are parts of one data set."""
    kinds: dict[str, list[tuple[Path, str]]] = {}
    indexes = Indexes()
    for path in paths[:_MOST]:
        columns, told = _columns(path, indexes.of(path.parent))
        kinds.setdefault(columns, []).append((path, told))
    return [
        f"fracture prepare {' '.join(shlex.quote(str(path)) for path, _ in held)} {columns}--out manifest.csv"
        f"  ({held[0][1]})"
        for columns, held in list(kinds.items())[:_SHOWN]
    ]


def _annotations(tree: Tree) -> list[str]:
    root = shlex.quote(str(tree.root))
    return [
        f"fracture prepare {root} --layout annotations --background no_fracture --out manifest.csv  ({one.kind})"
        for one in [one for one in find(tree.root, tree.images, tree.labels) if one.findings][:1]
    ]


def _columns(path: Path, index: FileIndex) -> tuple[str, str]:
    """The option that names a table's columns, as far as their names and values tell, and what else is there."""
    try:
        with open_table(path, foreign=True) as table:
            names, rows = table.names, [row for _, row in islice(table.rows, _LOOKED_AT)]
        sheet = Sheet(path, names, rows, index)
        known = [c for spelt in SPELLINGS["path"] if (c := named_column(spelt, names))]
        images = path_column(sheet, names, list(dict.fromkeys(known)))[0]
        tagged = None if images else find_tagged(sheet)[0]
        images = tagged.column if tagged else images
    except DataError as error:
        return "", error.problems[0]
    found = {m: next((c for s in SPELLINGS[m] if (c := named_column(s, names))), "") for m in ("label", "patient")}
    found["path"] = images
    could = class_columns(sheet, found)
    label = found["label"] or next(iter(could), "")
    listed = {"path": images or "COLUMN", "label": label or "COLUMN", "patient": found["patient"]}
    columns = shlex.quote(",".join(f"{meaning}={name}" for meaning, name in listed.items() if name))
    others = "" if found["label"] else "; ".join(shown(name, values) for name, values in list(could.items())[:_SHOWN])
    told = f"the class could be {others}" if others else f"columns: {some(names, 8)}"
    return f"--columns {columns} ", told
