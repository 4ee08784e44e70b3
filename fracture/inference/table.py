"""Answers to many images as a CSV that can be gone on with."""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture.data.images import SUFFIXES
from fracture.data.prepare.archives import is_archive
from fracture.data.prepare.label_files import how_to_convert
from fracture.data.prepare.listed_images import read_paths
from fracture.data.tables import is_table
from fracture.data.trees import LABEL_FILES, walk
from fracture.errors import ConfigError, DataError
from fracture.files import as_text, located, replacing
from fracture.inference.predictor import Answer, Predictor
from fracture.tables import counted

FIRST = ("path", "decision", "label")
LAST = ("fracture", "fracture_probability", "possible", "possible_in_words", "refer", "reason", "error")


@dataclass(frozen=True)
class Written:
    """What was done.

    Attributes:
        answered: images or studies gone through now, those that could not be read among them.
        kept: rows that were there before.
        bad: path and error of the images that could not be read now.
    """

    answered: int
    kept: int
    bad: tuple[tuple[str, str], ...]

    def said(self, out: Path) -> str:
        """What was written to ``out``, in a line."""
        read = "all images could be read" if self.answered else ""
        bad = f"{counted(len(self.bad), 'image')} could not be read" if self.bad else read
        kept = f"{self.kept:,} kept from before" if self.kept else ""
        return f"{out}: " + ", ".join(filter(None, (f"{counted(self.answered, 'row')} written", kept, bad)))

    def warnings(self, most: int = 20) -> list[str]:
        """A line for each image that could not be read, up to ``most``."""
        more = len(self.bad) - most
        return [f"{path}: {error}" for path, error in self.bad[:most]] + ([f"and {more} more"] if more > 0 else [])


def images_of(sources: Sequence[Path]) -> list[Path]:
    """The images that files, folders (searched as for training) and tables name, each once, in order.

    Raises:
        DataError: a source is missing or of another kind, or there is no image at all.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source.exists():
            raise DataError(f"{source}: no such file or folder; give images, folders or a manifest CSV")
        if source.is_dir():
            found |= dict.fromkeys(source / path for path in walk(source).images)
        elif is_table(source):
            found |= dict.fromkeys(read_paths(source))
        elif is_archive(source) or source.suffix.lower() in LABEL_FILES:
            raise DataError(f"{source}: is neither an image nor a folder or manifest CSV", how_to_convert(source))
        else:
            found[source] = None
    if not found:
        raise DataError(f"no images in {', '.join(map(str, sources))}; looked for {', '.join(sorted(SUFFIXES))}")
    return list(found)


Heard = Callable[[Sequence[Path], Sequence[Answer], float], None]


def write(
    predictor: Predictor,
    paths: Sequence[Path],
    out: Path,
    progress: Callable[[str, int, int], None],
    heard: Heard = lambda *_: None,
) -> Written:
    """Add a row for each image that ``out`` has no answer for yet, a batch at a time.

    Args:
        predictor: the model.
        paths: of the images.
        out: a CSV, made if missing.
        progress: called with how far it is.
        heard: told the paths, the answers and the seconds of each batch, before its rows are written.

    Raises:
        ConfigError: ``out`` holds something else, or the answers of another model.
    """
    sidecar = predictor.sidecar
    header = [*FIRST, *(column(name) for name in sidecar.classes), *LAST]
    done = begin(out, header, sidecar.weights_sha256)
    left, bad, size = [path for path in paths if as_text(str(path)) not in done], [], predictor.batch_size
    with located(out), out.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        for start in range(0, len(left), size):
            batch, began = left[start : start + size], time.perf_counter()
            answers = predictor.predict(batch)
            heard(batch, answers, time.perf_counter() - began)
            table.writerows(
                row(as_text(str(path)), answer, sidecar.classes) for path, answer in zip(batch, answers, strict=True)
            )
            file.flush()
            bad += [(as_text(str(p)), answer.error) for p, answer in zip(batch, answers, strict=True) if answer.error]
            progress("images", start + len(batch), len(left))
    return Written(len(left), len(paths) - len(left), tuple(bad))


def row(name: str, answer: Answer, classes: Sequence[str]) -> list[object]:
    """An answer as a row, after the ``name`` of its image."""
    shares = [f"{answer.probabilities[name]:.6f}" if answer.probabilities else "" for name in classes]
    fracture = "" if answer.fracture is None else str(answer.fracture).lower()
    any_fracture = "" if answer.fracture_probability is None else f"{answer.fracture_probability:.6f}"
    said = [" ".join(text.split()) for text in (answer.reason, answer.error)]
    sets = [" | ".join(answer.possible), answer.possible_in_words]
    first = [name, answer.decision, answer.label]
    return [*first, *shares, fracture, any_fracture, *sets, str(answer.refer).lower(), *said]


def column(name: str) -> str:
    """The column of a class; one that is called as another column is told from it."""
    return f"probability_{name}" if name in (*FIRST, *LAST) else name


def begin(out: Path, header: list[str], weights: str) -> set[str]:
    """What ``out`` answers to already, by its first column; rows that a kill has cut or with an error are dropped."""
    note = out.with_name(out.name + ".model")
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(note) as part:
            part.write_text(weights + "\n", encoding="utf-8")
        with replacing(out) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(header)
        return set()
    if not note.is_file() or note.read_text(encoding="utf-8").strip() != weights:
        raise ConfigError(f"{out}: is not of this model; choose another --out, or delete it with {note.name}")
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    rows = list(csv.reader(whole.decode("utf-8").splitlines()))
    if not rows or rows[0] != header:
        raise ConfigError(
            f"{out}: has other columns than {', '.join(header)}: another program or an earlier version wrote it. "
            "Choose another --out"
        )
    answered = [row for row in rows[1:] if not row[-1]]
    with replacing(out) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *answered])
    return {row[0] for row in answered}
