"""The story of one preparation: sources become records, are opened, grouped and split, and end as a manifest.

What is left out is never forgotten: every excluded file is named with its reason.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fracture.data.annotations.shares import Unusable
from fracture.data.cache import folder_of
from fracture.data.contents import Progress
from fracture.data.exclusions import Exclusion, reasons, write_exclusions
from fracture.data.groups import grouped, merge
from fracture.data.inspection.inspect import inspect
from fracture.data.inspection.inspected import Inspection
from fracture.data.inspection.pool import workers_of
from fracture.data.manifest import Manifest, Row, study_of, write_csv
from fracture.data.near_duplicates.pairs import near_duplicates
from fracture.data.patients import patients_of
from fracture.data.prepare.checks import (
    check_classes,
    check_originals,
    check_splits,
    missing_classes,
    several_healthy,
    unshared,
    unused_background,
    without_odd_labels,
)
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.corrections import Opened, correct
from fracture.data.prepare.gather import Gathered, gather, gather_again
from fracture.data.prepare.labels import KEPT, one_label_each
from fracture.data.prepare.layouts import Layout
from fracture.data.prepare.patient_names import proposal
from fracture.data.prepare.records import Record
from fracture.data.prepare.splitting import assign_folds, assign_splits
from fracture.data.tables import UNSEEN
from fracture.errors import DataError
from fracture.files import as_text, replacing, write_json


@dataclass(frozen=True)
class Prepared:
    """The outcome of a preparation.

    Attributes:
        manifest: one row an image that is used.
        excluded: every file that is not, with the reason.
        sources: what each source held.
        notes: what the user should know, one sentence each.
        linked: how many groups of two or more images there are, by what linked them.
    """

    manifest: Manifest
    excluded: tuple[Exclusion, ...]
    sources: tuple[Gathered, ...]
    notes: tuple[str, ...]
    linked: dict[str, int]


def prepare(
    sources: Sequence[Path],
    config: PrepareConfig,
    out: Path,
    progress: Progress | None = None,
    regroup: bool = False,
    excluded: list[Exclusion] | None = None,
) -> Prepared:
    """Make a manifest of what people have.

    Args:
        sources: folders of classes, zip or tar archives, CSV files.
        config: the settings.
        out: where the manifest will be written; archives are unpacked beside it.
        progress: called with what is being done.
        regroup: ``sources`` is one manifest or folder, to be grouped and split anew and without leaks.
        excluded: takes what is left out, so that it can be written down also where everything is refused.

    Raises:
        ConfigError: a class in ``label_map`` that no source holds.
        DataError: nothing usable, fewer than two classes, a split without images, or names that join too many images.
    """
    images_dir = out.parent / f"{out.stem}_images"
    excluded = [] if excluded is None else excluded
    if regroup:
        config = config.model_copy(update={"resplit": True})
        gathered = [gather_again(source, config, images_dir, progress) for source in sources]
        excluded += [exclusion for one in gathered for exclusion in one.excluded]
    else:
        gathered = gather(list(sources), config, images_dir, progress, excluded)
    records, contradictory, agreement = one_label_each([r for one in gathered for r in one.records], config.readers)
    excluded += contradictory
    records = without_odd_labels(records, excluded)
    check_classes({record.label for record in records}, len(records), excluded, gathered)
    records = check_originals(records, config)
    cache_dir = folder_of(config.cache_dir)
    workers = workers_of(config.workers)
    opened = correct(_open(records, config, workers, progress, excluded), config.corrections)
    opened, keys = _merge_copies(opened, excluded)
    patients = _patients(opened, keys, config)
    opened, keys, linked = _link_near(opened, keys, config, cache_dir, workers, progress, excluded)
    rows = _rows(opened, keys)
    check_classes({row.label for row in rows}, len(rows), excluded, gathered)
    rows, notes = _split(rows, keys, config)
    manifest = Manifest(out.stem, out.resolve().parent, tuple(rows), all(row.source == "synthetic" for row in rows))
    told = [
        *([str(agreement)] if str(agreement) else []),
        *patients,
        *notes,
        *several_healthy(manifest.classes),
        *unused_background(config.background, manifest.classes, gathered),
        *unshared(rows),
    ]
    return Prepared(manifest, tuple(excluded), tuple(gathered), tuple(told), {**_linked(opened, keys), **linked})


def write(prepared: Prepared, out: Path, config: PrepareConfig) -> tuple[Path, Path, Path]:
    """Write the manifest, the exclusions (``.excluded.csv``) and the summary (``.json``); returns the three paths."""
    excluded, summary = out.with_suffix(".excluded.csv"), out.with_suffix(".json")
    with replacing(out) as part:
        write_csv(prepared.manifest, part)
    write_exclusions(prepared.excluded, excluded)
    write_json(summary, _summary(prepared, config))
    return out, excluded, summary


def _open(
    records: list[Record], config: PrepareConfig, workers: int, progress: Progress | None, excluded: list[Exclusion]
) -> list[Opened]:
    paths = [record.path for record in records]
    inspections = inspect(paths, folder_of(config.cache_dir), workers, progress, sign=config.near_duplicates)
    opened: list[Opened] = []
    for record, inspection in zip(records, inspections, strict=True):
        record, problem = _with_boxes(record, inspection)
        if problem:
            excluded.append(Exclusion(str(record.path), problem, record.label, record.source))
        else:
            opened.append((record, inspection))
    return opened


def _with_boxes(record: Record, inspection: Inspection) -> tuple[Record, str]:
    """The record with its boxes as a column, and why it cannot be used, empty if it can."""
    if inspection.error or record.drawn is None:
        return record, inspection.error
    try:
        text = record.drawn.text(record.path, inspection.width, inspection.height)
    except Unusable as error:
        return record, str(error)
    return replace(record, extra={**record.extra, "boxes": text}), ""


def _merge_copies(opened: list[Opened], excluded: list[Exclusion]) -> tuple[list[Opened], list[list[Hashable]]]:
    """Keep one of files with the same bytes, with the links of all; where their labels differ, keep none.

    It is the first of those that the data puts into test, else val, else train: a named test split stays whole.
    """
    kept: list[Opened] = []
    keys: list[list[Hashable]] = []
    for found in grouped((inspection.sha256, (record, inspection)) for record, inspection in opened).values():
        copies = sorted(found, key=lambda one: KEPT.index(one[0].split))
        first = copies[0][0]
        labels = sorted({record.label for record, _ in copies})
        if len(labels) == 1:
            kept.append(copies[0])
            keys.append([key for record, _ in copies for key in _keys(record)])
        for record, _ in copies if len(labels) > 1 else copies[1:]:
            reason = (
                f"the same bytes under {len(labels)} labels: {', '.join(labels)}" if len(labels) > 1
                else f"the same bytes as another file: {first.path}"
            )  # fmt: skip
            excluded.append(Exclusion(str(record.path), reason, record.label, record.source))
    return kept, keys


def _keys(record: Record) -> list[Hashable]:
    """What links an image to others by its name."""
    kinds = (("study", record.study), ("original", record.original))
    return [(kind, key) for kind, key in kinds if key]


def _patients(opened: list[Opened], keys: list[list[Hashable]], config: PrepareConfig) -> list[str]:
    """Link images of one patient, by tables, paths and DICOM files; returns what the user should know of it.

    Raises:
        DataError: every image needs a patient, and some have none.
    """
    known = patients_of([r.patient for r, _ in opened], [i.identity for _, i in opened], config.patients)
    for (record, _), own, links, study in zip(opened, keys, known.keys, known.studies, strict=True):
        further = record.patients if links else ()
        people = (*([record.group] if record.group else []), *links, *further)
        own[:0] = [*(("patient", key) for key in people), *([("study", study)] if study else [])]
    unknown = [str(r.path) for (r, _), has in zip(opened, known.known, strict=True) if not has and not r.group]
    if config.patients == "required" and unknown:
        raise DataError(
            f"patients=required: {len(unknown):,} of {len(opened):,} images have no patient: {', '.join(unknown[:3])}",
            "Name them by --columns patient=NAME or --group-pattern, or leave --patients at auto.",
        )
    if len(unknown) == len(opened) and not any(known.studies) and config.patients == "auto":
        names = [record.path.as_posix() for record, _ in opened]
        return [*known.notes, _NOBODY + proposal(names, [record.original for record, _ in opened])]
    return known.notes


_NOBODY = (
    "no patient is known, so images of one person may lie in two splits: --group-pattern finds patients in paths and "
    "file names, --columns patient=NAME in a table"
)


def _link_near(
    opened: list[Opened], keys: list[list[Hashable]], config: PrepareConfig, cache_dir: Path, workers: int,
    progress: Progress | None, excluded: list[Exclusion],
) -> tuple[list[Opened], list[list[Hashable]], dict[str, int]]:  # fmt: skip
    """Link near-duplicates; where two of them have different labels, neither can be trusted and both go."""
    if not config.near_duplicates or not opened:
        return opened, keys, {}
    found = near_duplicates([(i.sha256, r.path) for r, i in opened], cache_dir, workers, progress)
    doubtful: dict[int, int] = {}
    for pair in found.duplicates:
        keys[pair.first].append(("near", pair.first, pair.second))
        keys[pair.second].append(("near", pair.first, pair.second))
    for own, number in zip(keys, merge(keys), strict=True):
        own.append(("linked", number))  # also by images that go now
    for pair in found.duplicates:
        if opened[pair.first][0].label != opened[pair.second][0].label:
            doubtful.setdefault(pair.first, pair.second)
            doubtful.setdefault(pair.second, pair.first)
    for image, other in sorted(doubtful.items()):
        record, twin = opened[image][0], opened[other][0]
        reason = f"the same image under two labels, {record.label} and {twin.label}: {twin.path}"
        excluded.append(Exclusion(str(record.path), reason, record.label, record.source))
    left = [image for image in range(len(opened)) if image not in doubtful]
    counts = {"near-duplicate pairs": len(found.duplicates), "pairs to review": len(found.review)}
    return [opened[i] for i in left], [keys[i] for i in left], counts


def _rows(opened: list[Opened], keys: list[list[Hashable]]) -> list[Row]:
    numbers = merge(keys)
    names: dict[int, str] = {}
    for kind in ("patient", "study", "original"):
        for number, own in zip(numbers, keys, strict=True):
            for key in own:
                if isinstance(key, tuple) and key[0] == kind and number not in names:
                    names[number] = str(key[1])
    return [
        Row(
            record.path, record.label, record.split, as_text(names.get(number, f"group-{number}")).strip(UNSEEN),
            as_text(record.source).strip(UNSEEN),
            inspection.width, inspection.height, inspection.sha256, inspection.phash, _extra(record, own),
        )
        for (record, inspection), number, own in zip(opened, numbers, keys, strict=True)
    ]  # fmt: skip


def _extra(record: Record, keys: list[Hashable]) -> Mapping[str, str]:
    """The further columns of an image, its DICOM study among them where no column says one."""
    study = next((str(key[1]) for key in keys if isinstance(key, tuple) and key[0] == "study"), "")
    return {"study": study, **record.extra} if study and not study_of(record.extra) else record.extra


def _split(rows: list[Row], keys: list[list[Hashable]], config: PrepareConfig) -> tuple[list[Row], list[str]]:
    strata = [(row.label, row.source) for row in rows]
    groups = [row.group for row in rows]
    given = ["" if config.resplit else row.split for row in rows]
    splits, notes = assign_splits(strata, groups, given, config)
    rows = [replace(row, split=split) for row, split in zip(rows, splits, strict=True)]
    check_splits(rows, keys, any(given))
    if config.folds:
        folds = assign_folds(strata, groups, splits, config)
        names = {"": "test", "0": "val"}
        rows = [
            replace(row, split=names.get(fold, "train"), extra={**row.extra, "fold": fold})
            for row, fold in zip(rows, folds, strict=True)
        ]
    torn = Counter(group for group, _ in {(row.group, row.split) for row in rows})
    if count := sum(splits_of > 1 for splits_of in torn.values()):
        notes.append(f"the splits that the data names tear {count} groups apart: fracture prepare --regroup fixes it")
    return rows, [*notes, *missing_classes(rows)]


def _linked(opened: list[Opened], keys: list[list[Hashable]]) -> dict[str, int]:
    """Patients and originals of two or more images; the identifiers that one image has are of one patient."""
    people = [[key for key in own if isinstance(key, tuple) and key[0] == "patient"] for own in keys]
    patients = Counter(number for number, own in zip(merge(people), people, strict=True) if own)
    originals = Counter(record.original for record, _ in opened)
    return {
        "patients with several images": sum(n > 1 for n in patients.values()),
        "originals with copies": sum(n > 1 for name, n in originals.items() if name),
    }


def _summary(prepared: Prepared, config: PrepareConfig) -> dict[str, Any]:
    manifest = prepared.manifest
    return {
        "version": 1,
        "digest": manifest.digest(),
        "images": len(manifest.rows),
        "groups": len({row.group for row in manifest.rows}),
        "counts": manifest.counts(),
        "linked": prepared.linked,
        "excluded": dict(reasons(prepared.excluded)),
        "notes": list(prepared.notes),
        "sources": [_source_summary(one) for one in prepared.sources],
        "config": config.model_dump(),
    }


def _source_summary(one: Gathered) -> dict[str, Any]:
    layout: Layout | None = one.layout
    about = {k: getattr(layout, k) for k in ("name", "title", "citation", "licence", "where")} if layout else None
    labels = Counter(record.label for record in one.records)
    return {
        "source": str(one.given), "kind": one.kind, "data_set": about, "images": dict(sorted(labels.items())),
        "excluded": len(one.excluded), "notes": one.notes, "other_files": dict(one.others.most_common()),
    }  # fmt: skip
