"""A data set ready for training: the manifest, split and checked, and its decoded images."""

import shlex
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fracture.data import cache, demo
from fracture.data.contents import Progress
from fracture.data.folders import LAYOUTS, read_folder
from fracture.data.handmade import read_manifest
from fracture.data.listing import first
from fracture.data.manifest import SPLITS, Manifest, Row, read_csv
from fracture.data.prepare.label_files import how_to_convert
from fracture.data.split import assign
from fracture.errors import DataError
from fracture.files import expanded

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Where the images are, and how they are split when they are not yet.

    Attributes:
        data: ``demo``, a folder of classes, or a manifest CSV.
        demo_images: how many images ``demo`` renders.
        val_fraction, test_fraction: shares of the images.
        seed: of the rendering and of the split.
        folds, fold: with more than one fold, the test split is the ``fold``-th part of them, from 0, whatever
            ``test_fraction`` says.
    """

    data: str = "demo"
    demo_images: int = 48
    val_fraction: float = 0.15
    test_fraction: float = 0.15
    seed: int = 0
    folds: int = 1
    fold: int = 0


@dataclass(frozen=True)
class Dataset:
    """Images and labels of all splits.

    Attributes:
        manifest: one row an image, with its split and content hash.
        labels: int64 [images], the position of each row's label in ``manifest.classes``.
        cached: the decoded images.
    """

    manifest: Manifest
    labels: npt.NDArray[np.int64]
    cached: cache.Cached

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs."""
        return self.manifest.classes

    def pixels(self, indices: Indices) -> npt.NDArray[np.uint8]:
        """Grey squares of some rows: uint8 [len(indices), size, size], read from the cache."""
        return self.cached.pixels[self.cached.position[indices]]


def open_dataset(
    source: Source,
    size: int,
    cache_dir: Path,
    progress: Progress | None = None,
    splits: Collection[str] = SPLITS,
) -> Dataset:
    """Read, split, check and decode a data set.

    Args:
        source: where the images are and how they are split.
        size: side of the squares in pixels.
        cache_dir: where decoded and rendered images are kept.
        progress: called with what is being done.
        splits: which are wanted; no image of another one is opened, and the data set does not hold them.

    Raises:
        DataError: nothing there, a wrong layout, a class missing from a split, unreadable files: every problem at once.
    """
    problems: list[str] = []
    manifest = split(read(source, cache_dir, problems, progress), source, problems)
    manifest = manifest.with_rows(row for row in manifest.rows if row.split in splits or not row.split)
    return _load(manifest, source, size, cache_dir, problems, progress)


def open_images(source: Source, size: int, cache_dir: Path, progress: Progress | None = None) -> Dataset:
    """Read and decode a data set as it is, whatever its splits and however many classes it holds.

    Raises:
        DataError: nothing there, a wrong layout, unreadable files: every problem at once.
    """
    problems: list[str] = []
    return _load(read(source, cache_dir, problems, progress), source, size, cache_dir, problems, progress)


def _way_out(source: Source) -> str:
    """What helps: another layout of folders; of a manifest, one that `prepare` makes of it."""
    if not source.data.lower().endswith(".csv"):
        return LAYOUTS
    command = f"`fracture prepare {shlex.quote(source.data)} --out new.csv`"
    return (
        f"{command} finds files that were moved by their names (below --root DIR), and leaves out what it cannot read."
    )


def resized(dataset: Dataset, size: int, cache_dir: Path, progress: Progress | None = None) -> Dataset:
    """The same images decoded to squares of another side."""
    paths = [row.path for row in dataset.manifest.rows]
    return replace(dataset, cached=cache.open_cache(paths, size, cache_dir, progress))


def read(source: Source, cache_dir: Path, problems: list[str], progress: Progress | None = None) -> Manifest:
    """The manifest of ``demo``, of a folder of classes, or of a manifest CSV, as yet unsplit where it names no splits.

    Raises:
        DataError: there is nothing to read.
    """
    if source.data == "demo":
        return _read_demo(source, cache_dir, progress)
    path = expanded(source.data)
    if path.is_dir():
        return read_folder(path, problems)
    if path.is_file() and path.suffix.lower() == ".csv":
        return read_manifest(path)
    if path.exists():
        raise DataError(
            f"data={path.absolute()}: is neither a folder nor a .csv file", f"{how_to_convert(path)} {LAYOUTS}"
        )
    raise DataError(f"data={path.absolute()}: does not exist", f"{LAYOUTS} data=demo renders synthetic images.")


def split(manifest: Manifest, source: Source, problems: list[str]) -> Manifest:
    """Split by group and stratified by label, unless the rows name their splits; then look for missing classes.

    Folds divide all images anew, whatever splits the rows name.
    """
    if source.folds > 1:
        manifest = manifest.with_rows(replace(row, split="") for row in manifest.rows)
    unsplit = sum(not row.split for row in manifest.rows)
    if 0 < unsplit < len(manifest.rows):
        problems.append(f"{unsplit} of {len(manifest.rows)} rows have no split: fill or empty the whole column")
    elif unsplit:
        manifest = manifest.with_rows(_split_rows(manifest.rows, source))
    problems += _split_problems(manifest)
    return manifest


def _load(
    manifest: Manifest, source: Source, size: int, cache_dir: Path, problems: list[str], progress: Progress | None
) -> Dataset:
    """The decoded images of a manifest, in the order of their contents.

    Raises:
        DataError: there are problems already, or files that cannot be decoded.
    """
    try:
        cached = cache.open_cache([row.path for row in manifest.rows], size, cache_dir, progress)
    except cache.UnreadableImagesError as error:
        problems += first(f"{path}: {reason}" for path, reason in sorted(error.reasons.items()))
    if problems:
        raise DataError(problems, _way_out(source))
    rows = [replace(row, sha256=digest) for row, digest in zip(manifest.rows, cached.sha256, strict=True)]
    # by content: data of the same digest gives the same batches, however its rows are sorted and its files are named
    order = sorted(range(len(rows)), key=lambda i: (rows[i].sha256, rows[i].label, rows[i].split))
    manifest = manifest.with_rows(rows[i] for i in order)
    place = {label: i for i, label in enumerate(manifest.classes)}
    return Dataset(manifest, np.array([place[row.label] for row in manifest.rows], np.int64), cached.reordered(order))


def _read_demo(source: Source, cache_dir: Path, progress: Progress | None) -> Manifest:
    images = source.demo_images
    folder = cache_dir / "demo" / f"v{demo.VERSION}-seed{source.seed}-{images}"
    report = (lambda done: progress("rendering", done, images)) if progress else None
    manifest = read_csv(demo.write_demo(folder, images, source.seed, report))
    return replace(manifest, name="demo (synthetic)", synthetic=True)


def _split_rows(rows: tuple[Row, ...], source: Source) -> list[Row]:
    groups = [row.group or f"alone {i}" for i, row in enumerate(rows)]
    labels = [row.label for row in rows]
    if source.folds > 1:
        parts = _fold(labels, groups, source)
    else:
        shares = (1 - source.val_fraction - source.test_fraction, source.val_fraction, source.test_fraction)
        parts = assign(labels, groups, shares, source.seed)
    return [replace(row, split=SPLITS[part]) for row, part in zip(rows, parts, strict=True)]


def _fold(labels: list[str], groups: list[str], source: Source) -> list[int]:
    """The test split is one of k parts of all; validation is its share of all, taken from the rest."""
    parts = assign(labels, groups, [1 / source.folds] * source.folds, source.seed)
    rest = [i for i, part in enumerate(parts) if part != source.fold]
    share = source.val_fraction / (1 - 1 / source.folds)
    split = assign([labels[i] for i in rest], [groups[i] for i in rest], (1 - share, share), source.seed)
    found = [SPLITS.index("test")] * len(labels)
    for i, part in zip(rest, split, strict=True):
        found[i] = part
    return found


def _split_problems(manifest: Manifest) -> list[str]:
    total = Counter(row.label for row in manifest.rows)
    problems = [] if len(total) > 1 else [f"{manifest.root}: images of {len(total)} class(es), two are needed"]
    for name, counts in manifest.counts().items():
        missing = [f"{label} ({total[label]} images in all)" for label, count in counts.items() if not count]
        if missing:
            problems.append(f"{name}: no image of {', '.join(missing)}")
    return problems
