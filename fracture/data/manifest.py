"""The manifest: one row an image, and the digests that say which data a run has seen."""

import csv
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fracture.data.groups import grouped
from fracture.data.listing import first
from fracture.data.tables import UNSEEN, open_table, plain
from fracture.errors import DataError
from fracture.files import as_text, expanded, is_text

SPLITS = ("train", "val", "test")
STUDY = (  # what the column of studies may be called
    "study", "study_id", "studyid", "study_uid", "studyinstanceuid", "study_instance_uid",
)  # fmt: skip
COLUMNS = ("path", "label", "split", "group", "source", "width", "height", "sha256", "phash")
SPLIT_ALIASES = {
    "training": "train", "validation": "val", "validate": "val", "validating": "val", "valid": "val", "dev": "val",
    "testing": "test", "public test": "val", "private test": "test", "holdout": "test", "heldout": "test",
    "entrenamiento": "train", "validación": "val", "validacion": "val", "prueba": "test", "pruebas": "test",
    "trainingsdaten": "train", "validierung": "val", "validierungsdaten": "val", "testdaten": "test",
    "entraînement": "train", "entrainement": "train", "apprentissage": "train",
    "treino": "train", "treinamento": "train", "validação": "val", "validacao": "val", "teste": "test",
    "addestramento": "train", "convalida": "val",
}  # fmt: skip
_FILLERS = r"(?:the|sets?|data|datasets?|splits?|subsets?|images?|imgs?|samples?|folder|x-?rays?|examples?|files?)"
_SPLIT_NAME = re.compile(  # train, Training Set, test_images, 01_train, ValData, TestSet
    rf"(?:\d+[ _.-]+)?(?:{_FILLERS}[ _-]*)*(train|training|val|valid|validat(?:e|ing|ion)|dev|test|testing"
    rf"|(?:public|private)[ _-]?test|h[oe]ld[ _-]?out|{'|'.join(SPLIT_ALIASES)})"
    rf"(?:[ _-]*{_FILLERS})*(?:[ _-]*\d+)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One image.

    Attributes:
        path: absolute path of the file.
        label: class name.
        split: ``train``, ``val``, ``test``, or empty when not yet split.
        group: what must not be torn apart (patient, original image); empty: the image is alone.
        source: where the image came from (hospital, data set).
        width, height: pixels, 0 when unknown.
        sha256: of the file's bytes, empty until read.
        phash: perceptual hash, empty when not computed.
        extra: further columns of a manifest CSV, by name.
    """

    path: Path
    label: str
    split: str = ""
    group: str = ""
    source: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""
    phash: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def study(self) -> str:
        """What was taken together in one examination, by the column of that name; empty where there is none."""
        return study_of(self.extra)


@dataclass(frozen=True)
class Manifest:
    """The images of a data set, in a fixed order.

    Attributes:
        name: shown on screens and runs.
        root: the folder that relative paths start from.
        rows: one an image.
        synthetic: the images are rendered, not radiographs.
        notes: what was found out to read it, in sentences.
    """

    name: str
    root: Path
    rows: tuple[Row, ...]
    synthetic: bool = False
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in alphabetical order, which is the order of the model's outputs."""
        return tuple(sorted({row.label for row in self.rows}))

    def indices(self, split: str) -> list[int]:
        """Positions of the rows of one split."""
        return [i for i, row in enumerate(self.rows) if row.split == split]

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of images per split and class, every split and class present."""
        found = Counter((row.split, row.label) for row in self.rows)
        return {split: {label: found[split, label] for label in self.classes} for split in SPLITS}

    def relative(self, row: Row) -> str:
        """The row's path from the root, with forward slashes; absolute when it lies elsewhere."""
        path = row.path.relative_to(self.root) if row.path.is_relative_to(self.root) else row.path
        return path.as_posix()

    def columns(self, indices: Iterable[int]) -> dict[str, list[str]]:
        """The source and every further column of some rows, by name."""
        rows = [self.rows[i] for i in indices]
        further = dict.fromkeys(name for row in rows for name in row.extra)
        return {"source": [row.source for row in rows]} | {
            name: [row.extra.get(name, "") for row in rows] for name in further
        }

    def digest(self, split: str | None = None) -> str:
        """Digest of the contents, labels and splits (of one split), whatever the order, names and places of files."""
        rows = (row for row in self.rows if split is None or row.split == split)
        lines = sorted(f"{row.sha256},{row.label},{row.split}" for row in rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def with_rows(self, rows: Iterable[Row]) -> "Manifest":
        """The same data set with other rows."""
        return replace(self, rows=tuple(rows))


def study_of(columns: Mapping[str, str]) -> str:
    """What a row's columns name as its study, empty where none does."""
    return next((value for name, value in columns.items() if plain(name) in STUDY and value), "")


def split_name(name: str) -> str:
    """``train``, ``val`` or ``test`` where a name says so, as ``Training Set`` and ``valid`` do, else empty."""
    found = _SPLIT_NAME.fullmatch(unicodedata.normalize("NFC", name.strip()))
    known = re.sub(r"^(public|private)[ _-]?", r"\1 ", found[1].lower()) if found else ""
    known = re.sub(r"[ _-]out$", "out", known)
    return SPLIT_ALIASES.get(known, known)


def read_csv(path: Path) -> Manifest:
    """Read a manifest CSV: ``path`` and ``label`` are required, the other columns of `COLUMNS` and any more are kept.

    Relative paths start from the CSV's folder.

    Raises:
        DataError: unreadable, a column missing, a row without path or label, an unknown split.
    """
    root = path.resolve().parent
    with open_table(path) as table:
        if missing := sorted({"path", "label"} - set(table.names)):
            raise DataError(
                f"{path}: column {' and '.join(missing)} missing, found {', '.join(table.names) or 'none'}",
                f"A manifest has the columns path and label, and optionally {', '.join(COLUMNS[2:])}. "
                f"`fracture prepare {path} --out manifest.csv` makes one of other tables.",
            )
        problems: list[str] = []
        rows = [_row(record, root, f"{path}:{line}", problems) for line, record in table.rows]
    problems = problems or _contradictions(rows, path)
    if not rows:
        problems.append(f"{path}: has no row")
    if problems:
        raise DataError(first(problems))
    return Manifest(path.stem, root, tuple(rows), synthetic=all(row.source == "synthetic" for row in rows))


def write_csv(manifest: Manifest, path: Path) -> None:
    """Write the manifest as CSV, paths relative to the CSV's folder where they lie below it."""
    manifest = replace(manifest, root=path.resolve().parent)
    names = list(dict.fromkeys(name for row in manifest.rows for name in row.extra))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *names])
        for row in manifest.rows:
            place = manifest.relative(row)
            place = place if place == place.lstrip(UNSEEN) else f"./{place}"  # a blank in front of a cell would be lost
            writer.writerow([place, *(getattr(row, c) for c in COLUMNS[1:]), *(row.extra.get(n, "") for n in names)])


def _contradictions(rows: list[Row], path: Path) -> list[str]:
    """A sentence for each image that several rows name: it would count several times, or in two splits."""
    problems = []
    for image, held in grouped((row.path, row) for row in rows).items():
        labels = sorted({row.label for row in held})
        if len(labels) > 1:
            told = f"has {len(labels)} labels in its rows: {', '.join(labels)}; `fracture prepare` decides by --readers"
            problems.append(f"{path}: {image} {told}")
        elif len(held) > 1:
            problems.append(f"{path}: {image} is named by {len(held)} rows; `fracture prepare` makes one of them")
    return problems


def _row(record: Mapping[str | None, str], root: Path, where: str, problems: list[str]) -> Row:
    text = {key: (value or "").strip() for key, value in record.items() if isinstance(key, str)}
    split = split_name(text.get("split", ""))
    if not text["path"] or not text["label"]:
        problems.append(f"{where}: path or label is empty")
    problems += [
        f'{where}: {name} "{as_text(text[name])}" holds a character that cannot be shown'
        for name in ("label", "group", "source")
        if not is_text(text.get(name, ""))
    ]
    if text.get("split") and not split:
        problems.append(f"{where}: split {text['split']!r} is none of {', '.join(SPLITS)}")
    return Row(
        path=_path(root, text["path"]),
        label=text["label"],
        split=split,
        group=text.get("group", "") or study_of(text),  # the images of a study are not torn apart
        source=text.get("source", ""),
        width=_integer(text.get("width", "")),
        height=_integer(text.get("height", "")),
        sha256=text.get("sha256", ""),
        phash=text.get("phash", ""),
        extra={key: value for key, value in text.items() if key not in COLUMNS},
    )


def _path(root: Path, text: str) -> Path:
    """Where a row's file lies; ``~/`` is the home folder, as what is uploaded to MLflow spells it."""
    ours = text.startswith("~/") and not (root / "~").exists()
    return root / (expanded(text) if ours else text)


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() else 0
