"""Auditing a manifest: opens the files, searches near-duplicates, probes the sources, and asks the judge."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fracture.data.audit import confound, traits
from fracture.data.audit.config import AuditConfig
from fracture.data.audit.distributions import BLANK_SPREAD, SHARE_GAP, TINY_SIDE
from fracture.data.audit.image import Image
from fracture.data.audit.judge import judge, relatives
from fracture.data.audit.page import render
from fracture.data.audit.report import AuditReport
from fracture.data.contents import Progress
from fracture.data.exclusions import reasons
from fracture.data.groups import merge
from fracture.data.handmade import read_manifest
from fracture.data.inspection.inspect import inspect
from fracture.data.inspection.inspected import Inspection
from fracture.data.inspection.pool import workers_of
from fracture.data.manifest import Manifest, Row
from fracture.data.near_duplicates.pairs import NearPair, NearPairs, near_duplicates
from fracture.data.patients import Rule, patients_of
from fracture.data.prepare.config import PrepareConfig
from fracture.data.prepare.gather import gather
from fracture.data.prepare.label_files import how_to_convert
from fracture.errors import DataError
from fracture.files import replacing, write_json


def audit_manifest(
    manifest: Manifest, cache_dir: Path, progress: Progress | None = None, config: AuditConfig | None = None
) -> AuditReport:
    """Audit a data set.

    Args:
        manifest: one row an image; without splits only the images and labels themselves are judged.
        cache_dir: where inspections and signatures are kept, so that a second audit takes seconds.
        progress: called with what is being done.
        config: the settings.

    Returns:
        The report; ``report.leaks`` says whether training must be refused, ``report.confounded`` is a tag for the run.

    Raises:
        DataError: there is an image, and none can be read.
    """
    config = config or AuditConfig()
    workers = workers_of(config.workers)
    paths = [row.path for row in manifest.rows]
    inspections = inspect(paths, cache_dir, workers, progress, sign=config.near_duplicates)
    ignored = config.patients == "ignore" or _prepared_without_patients(manifest)
    groups = _groups(manifest.rows, inspections, "ignore" if ignored else "auto")
    images = [_image(*one) for one in zip(manifest.rows, groups, inspections, strict=True)]
    readable = [i for i, found in enumerate(inspections) if not found.error]
    if paths and not readable:
        raise DataError(
            f"none of the {len(paths):,} images can be read, the first: {paths[0]}: {inspections[0].error}",
            "`fracture prepare MANIFEST --out new.csv` finds files that were moved by their names.",
        )
    files = [(inspections[i].sha256, manifest.rows[i].path) for i in readable]
    near = near_duplicates(files, cache_dir, workers, progress) if config.near_duplicates else NearPairs.none()
    near = _patients_known(near.renumbered(readable), manifest)
    probe = _probe(images, inspections, near.duplicates, readable) if config.probe else confound.Probe()
    rows = (
        row if row.sha256 else replace(row, sha256=found.sha256)
        for row, found in zip(manifest.rows, inspections, strict=True)
    )
    digest = manifest.with_rows(rows).digest()
    limits = {
        "near_duplicate": near.threshold, "review": near.review_threshold, "probe_auc": confound.THRESHOLD,
        "blank_spread": BLANK_SPREAD, "tiny_side": TINY_SIDE, "share_gap": SHARE_GAP,
    }  # fmt: skip
    found = near.duplicates if config.near_duplicates else None
    return judge(manifest.name, digest, images, found, near.review, probe, limits, len(near.featureless), ignored)


def _patients_known(near: NearPairs, manifest: Manifest) -> NearPairs:
    """Rendered images of two patients are two patients, however alike: such pairs are for review only."""
    rows = manifest.rows

    def strangers(pair: NearPair) -> bool:
        one, other = rows[pair.first], rows[pair.second]
        return (
            one.source == other.source == "synthetic" and bool(one.group and other.group) and one.group != other.group
        )

    doubted = tuple(pair for pair in near.duplicates if strangers(pair))
    kept = tuple(pair for pair in near.duplicates if not strangers(pair))
    return replace(near, duplicates=kept, review=(*doubted, *near.review))


def open_data(data: Path, cache_dir: Path, progress: Progress | None = None) -> Manifest:
    """A manifest CSV, or any folder that `prepare` understands, as a manifest to be audited.

    Raises:
        DataError: there is nothing to read.
    """
    if data.suffix.lower() == ".csv" and not data.is_dir():
        return read_manifest(data)
    if data.is_file():
        raise DataError(f"{data}: is neither a manifest CSV nor a folder", how_to_convert(data))
    found = gather([data], PrepareConfig(), cache_dir / "archives", progress)[0]
    rows = tuple(
        Row(record.path, record.label, record.split, record.patient or record.original, record.source)
        for record in found.records
    )
    if not rows:
        first = found.excluded[0].reason
        raise DataError(f"{data}: none of its {len(found.excluded):,} images can be used, the first: {first}")
    left_out = "; ".join(f"{count:,} x {reason}" for reason, count in reasons(found.excluded)[:5])
    more = [f"left out, so not audited: {left_out}; `fracture prepare` lists them"] if left_out else []
    return Manifest(data.resolve().name, data.resolve(), rows, notes=(*found.notes, *more))


def write_report(report: AuditReport, json_path: Path) -> tuple[Path, Path]:
    """Write the report as JSON and, beside it, as one HTML page that holds its images; returns the two paths."""
    page = json_path.with_suffix(".html")
    write_json(json_path, report.to_dict())
    with replacing(page) as part:
        part.write_text(render(report), encoding="utf-8")
    return json_path, page


def _prepared_without_patients(manifest: Manifest) -> bool:
    """Whether the summary that `prepare` leaves beside a manifest says that it was told to use no patients."""
    try:
        summary = json.loads((manifest.root / f"{manifest.name}.json").read_text(encoding="utf-8"))
        return bool(summary["config"]["patients"] == "ignore")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _groups(rows: Sequence[Row], inspections: Sequence[Inspection], rule: Rule) -> list[str]:
    """The group of each image, DICOM patients being one whatever the rows say; empty where it is alone."""
    known = patients_of([""] * len(rows), [found.identity for found in inspections], rule)
    links = [[*own, *([study] if study else [])] for own, study in zip(known.keys, known.studies, strict=True)]
    keys = [
        [*([("group", row.group)] if row.group else []), *(("patient", key) for key in own)]
        for row, own in zip(rows, links, strict=True)
    ]
    names: dict[int, str] = {}
    numbers = merge(keys)
    for number, row, own in zip(numbers, rows, links, strict=True):
        names.setdefault(number, row.group or next(iter(own), ""))
    return [names[number] for number in numbers]


def _image(row: Row, group: str, found: Inspection) -> Image:
    return Image(
        str(row.path), row.label, row.split, group, row.source, found.sha256, found.width, found.height,
        found.spread, found.error,
    )  # fmt: skip


def _probe(
    images: list[Image], inspections: list[Inspection], duplicates: tuple[NearPair, ...], readable: list[int]
) -> confound.Probe:
    """Probe the readable images; relatives count as one group, else they would tell the folds' secrets."""
    groups = relatives(images, duplicates)
    values = np.array([inspections[i].traits for i in readable], np.float32).reshape(len(readable), len(traits.NAMES))
    families = {family: traits.columns(family) for family in traits.FAMILIES}
    return confound.probe(values, families, [images[i].label for i in readable], [groups[i] for i in readable])
