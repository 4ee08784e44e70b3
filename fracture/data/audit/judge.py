"""The audit: does the data deserve to be trained on? Pure: plain values in, findings out.

Seven questions, numbered as in docs/audit.md. Leakage (2, 3, 4) refuses training; the source probe (5) warns.
"""

from collections.abc import Mapping, Sequence

from fracture.data.audit.confound import Probe
from fracture.data.audit.distributions import Distributions, describe
from fracture.data.audit.image import Image
from fracture.data.audit.report import AuditReport, Check, Evidence, Inflation
from fracture.data.groups import grouped, merge
from fracture.data.near_duplicates.pairs import NearPair
from fracture.evidence import wilson


def judge(
    name: str, digest: str, images: Sequence[Image], duplicates: Sequence[NearPair] | None, review: Sequence[NearPair],
    probe: Probe, thresholds: Mapping[str, float], featureless: int = 0, patients_ignored: bool = False,
) -> AuditReport:  # fmt: skip
    """Answer the eight questions.

    Args:
        name: of the manifest.
        digest: of the manifest.
        images: one a row of the manifest.
        duplicates: pairs of different files that show the same image; None where nobody looked for them.
        review: pairs that may, and that a person should look at; they never refuse.
        probe: of the sources.
        thresholds: to be written down with the findings.
        featureless: images with too little detail for the search for near-duplicates.
        patients_ignored: the user wants no patients of DICOM files.
    """
    same = _same_bytes(images)
    near = [_evidence(pair, "near-duplicate") for pair in duplicates or ()]
    unsure = [_evidence(pair, "to review") for pair in review]
    distributions = describe(images)
    note = "; near-duplicates were not looked for" if duplicates is None else ""
    note += f"; {featureless:,} images have too little detail to be compared" if featureless else ""
    checks = (
        _check_exact(images, same),
        _check_near(images, same, near, unsure, note),
        _check_groups(images, "; patients of DICOM files are not used (patients=ignore)" if patients_ignored else ""),
        _check_labels(images, same, near),
        _check_source(probe),
        _check_distributions(distributions),
        _check_inflation(inflation := _inflations(images, duplicates or ())),
        _check_readable(images),
    )
    return AuditReport(name, digest, tuple(images), checks, probe, distributions, inflation, thresholds)


def _same_bytes(images: Sequence[Image]) -> list[Evidence]:
    """The first of files with the same bytes, paired with each of the others."""
    first: dict[str, int] = {}
    pairs = []
    for i, image in enumerate(images):
        if image.sha256 and first.setdefault(image.sha256, i) != i:
            pairs.append(Evidence(first[image.sha256], i, "same bytes", 1.0, "identical"))
    return pairs


def _evidence(pair: NearPair, kind: str) -> Evidence:
    return Evidence(pair.first, pair.second, kind, pair.score, pair.transform)


def _pairs(n: int, kind: str = "") -> str:
    return " ".join(filter(None, (f"{n:,}", kind, "pair" if n == 1 else "pairs")))


def _across(images: Sequence[Image], pairs: Sequence[Evidence]) -> list[Evidence]:
    splits = [(images[e.first].split, images[e.second].split) for e in pairs]
    return [e for e, (a, b) in zip(pairs, splits, strict=True) if a and b and a != b]


def _check_exact(images: Sequence[Image], same: list[Evidence]) -> Check:
    title = "Exact duplicates"
    if not same:
        return Check(1, "exact_duplicates", title, "ok", f"no two of {len(images):,} files have the same bytes")
    sentence = f"{len(same):,} of {len(images):,} files repeat the bytes of another"
    return Check(1, "exact_duplicates", title, "note", sentence, len(same), tuple(same))


def _check_near(
    images: Sequence[Image], same: list[Evidence], near: list[Evidence], unsure: list[Evidence], note: str
) -> Check:
    title = "The same image in two splits"
    name = "duplicates_across_splits"
    across = _across(images, [*same, *sorted(near, key=lambda e: -e.score)])
    inside = len(near) + len(same) - len(across)
    maybe = _across(images, sorted(unsure, key=lambda e: -e.score))
    review = f"{_pairs(len(unsure), 'uncertain')} to review, {len(maybe):,} across splits"
    tail = f"{_pairs(inside)} inside one split; {review}"
    if not any(image.split for image in images):
        tail = f"the images are not split yet; {_pairs(len(near), 'near-duplicate')}, {len(unsure):,} to review"
        return Check(2, name, title, "note" if near else "ok", tail + note, len(near), (*near, *unsure))
    tail += note
    if across:
        held = len({i for e in across for i in (e.first, e.second)})
        sentence = f"{_pairs(len(across))}, {held:,} of {len(images):,} images, in two splits; {tail}"
        return Check(2, name, title, "leak", sentence, len(across), (*across, *maybe))
    rest = (*maybe, *same, *near, *(e for e in unsure if e not in maybe))
    return Check(2, name, title, "note" if rest or note else "ok", f"none across splits; {tail}", 0, rest)


def _check_groups(images: Sequence[Image], note: str) -> Check:
    title, name = "Patients or originals in two splits", "groups_across_splits"
    members = grouped((image.group, i) for i, image in enumerate(images) if image.group)
    torn = {g: held for g, held in members.items() if len({images[i].split for i in held} - {""}) > 1}
    if not members:
        told = f"the manifest has no groups, so only images can be compared{note}"
        return Check(3, name, title, "note", told)
    if not torn:
        return Check(3, name, title, "ok", f"none of {len(members):,} groups is in two splits{note}")
    evidence = []
    for held in torn.values():
        other = next(i for i in held if images[i].split and images[i].split != images[held[0]].split)
        evidence.append(Evidence(held[0], other, "same group", 0.0, images[other].group))
    count = sum(len(held) for held in torn.values())
    sentence = f"{len(torn):,} of {len(members):,} groups, {count:,} images, lie in two or more splits{note}"
    return Check(3, name, title, "leak", sentence, len(torn), tuple(evidence))


def _check_labels(images: Sequence[Image], same: list[Evidence], near: list[Evidence]) -> Check:
    title, name = "The same image under two labels", "contradictory_labels"
    found = [e for e in (*same, *near) if images[e.first].label != images[e.second].label]
    if not found:
        return Check(4, name, title, "ok", "every image has one label")
    sentence = f"{len(found):,} pairs show the same image under two labels"
    return Check(4, name, title, "leak", sentence, len(found), tuple(found))


def _check_source(probe: Probe) -> Check:
    title, name = "Class equals source", "source_probe"
    if not probe.pairs:
        why = "; ".join(f"{label}: {reason}" for label, reason in probe.left_out.items()) or "fewer than two classes"
        return Check(5, name, title, "skipped", f"not probed: {why}")
    best = probe.pairs[0]
    said = (
        f"without looking at the bone, {best.first} and {best.second} are separated with AUC {best.auc:.2f} "
        f"[{best.low:.2f}, {best.high:.2f}] (chance 0.50, n = {best.n_first:,} + {best.n_second:,})"
    )
    count = sum(pair.confounded for pair in probe.pairs)
    if count:
        family = max(best.families, key=lambda f: best.families[f])
        above = f"{count} of {len(probe.pairs)} pairs of classes are above {probe.threshold:.2f}"
        sentence = f"{said}, mostly by {family}; {above}"
        return Check(5, name, title, "warning", sentence, count)
    told = any(pair.low > 0.5 for pair in probe.pairs)
    return Check(5, name, title, "note" if told else "ok", f"{said}; no pair is above {probe.threshold:.2f}", 0)


def _check_distributions(distributions: Distributions) -> Check:
    title, name = "Labels, sizes, outliers and blank images", "distributions"
    if distributions.warnings:
        return Check(6, name, title, "warning", "; ".join(distributions.warnings), len(distributions.warnings))
    sentence = "every split holds every class, in like shares; nothing blank, tiny or far off in size"
    return Check(6, name, title, "ok", sentence)


def relatives(images: Sequence[Image], duplicates: Sequence[NearPair]) -> list[int]:
    """The family of each image: those of one group, the same bytes or near-duplicates, directly or through others."""
    keys = [[pair for pair in (("group", one.group), ("bytes", one.sha256)) if pair[1]] for one in images]
    for number, pair in enumerate(duplicates):
        keys[pair.first].append(("pair", str(number)))
        keys[pair.second].append(("pair", str(number)))
    return merge(keys)


def _inflations(images: Sequence[Image], duplicates: Sequence[NearPair]) -> tuple[Inflation, ...]:
    """How many images of each split have a relative in training."""
    numbers = relatives(images, duplicates)
    trained = {family for family, image in zip(numbers, images, strict=True) if image.split == "train"}
    found = []
    for split in ("val", "test"):
        held = [family for family, image in zip(numbers, images, strict=True) if image.split == split]
        if held:
            related = sum(family in trained for family in held)
            share = related / len(held)
            found.append(Inflation(split, related, len(held), share, *wilson(share, len(held))))
    return tuple(found)


def _check_inflation(inflation: Sequence[Inflation]) -> Check:
    title, name = "Held-out images with a relative in training", "inflation"
    if not inflation:
        return Check(7, name, title, "skipped", "the images are not split yet")
    parts = [f"{o.share:.1%} [{o.low:.1%}, {o.high:.1%}] of {o.total:,} {o.split} images" for o in inflation]
    related = sum(one.related for one in inflation)
    sentence = f"{' and '.join(parts)} have a near-duplicate or an image of their group in train"
    return Check(7, name, title, "warning" if related else "ok", sentence, related)


def _check_readable(images: Sequence[Image]) -> Check:
    title, name = "Unreadable images", "unreadable"
    broken = [image for image in images if image.error]
    if not broken:
        return Check(8, name, title, "ok", f"all {len(images):,} files were decoded")
    first = "; ".join(f"{image.path}: {image.error}" for image in broken[:3])
    more = f"; and {len(broken) - 3:,} more" if len(broken) > 3 else ""
    return Check(8, name, title, "warning", f"{len(broken):,} files cannot be used: {first}{more}", len(broken))
