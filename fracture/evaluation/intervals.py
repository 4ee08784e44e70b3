"""Every metric of a split with its 95% interval, from one bootstrap over groups."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fracture.evaluation.metrics import Floats, Integers, ratio
from fracture.evaluation.sample import Decisions, Sample
from fracture.evidence import Estimate, wilson

ROUNDS = 2000
LEVEL = 0.95
_CHUNK = 128  # bootstrap rounds at a time, to bound memory
FEW_GROUPS = 10  # an interval from fewer is too narrow
_ALIKE = "all alike in"
_PROPORTIONS = (
    "accuracy",
    "precision_",
    "recall_",
    "specificity_",
    "any_fracture_sens",
    "any_fracture_spec",
    "answered",
    "set_coverage_",
    "set_single",
    "set_fracture",
)


def estimate(
    logits: Floats,
    labels: Integers,
    groups: Sequence[Hashable],
    names: Sequence[str],
    decisions: Decisions | None = None,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Every metric with a 95% percentile interval.

    The bootstrap draws whole groups with replacement, since images of one patient are no independent evidence
    (Davison and Hinkley 1997, section 3.8). That of the calibration errors is shifted onto the value, for resampling
    alone makes a model look less calibrated.

    Args:
        logits: [n, classes].
        labels: [n], positions of the true classes.
        groups: [n], what is resampled together.
        names: class names.
        decisions: fitted on validation.
        rounds: bootstrap rounds.
        seed: of the resampling.
    """
    sample = Sample(logits, labels, names, decisions or Decisions())
    member = _members(groups)
    count = int(member.max()) + 1
    tables = np.zeros((count, sample.table.shape[1]))
    np.add.at(tables, member, sample.table)
    exact = sample.measure(sample.table.sum(axis=0)[None], np.ones((1, len(labels))))
    parts = [sample.measure(drawn @ tables, drawn[:, member]) for drawn in draws(count, rounds, seed)]
    masks, sides = sample.masks(), _sides(sample, member)
    everything = np.ones(len(labels), np.bool_)
    return {
        name: _estimate(
            name, float(value[0]), np.concatenate([part[name] for part in parts]), member,
            masks.get(name, everything), sides.get(name, {}),
        )
        for name, value in exact.items()
    }  # fmt: skip


def believable(found: Estimate) -> bool:
    """Whether an interval may be taken at its word, or with Wilson's bound, where all images are alike."""
    return found.groups >= FEW_GROUPS and (not found.caution or found.caution.startswith(_ALIKE))


def draws(groups: int, rounds: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each group is drawn: [some rounds, groups], until there are ``rounds`` of them."""
    rng = np.random.default_rng(seed)
    for start in range(0, rounds, _CHUNK):
        size = min(_CHUNK, rounds - start)
        yield rng.multinomial(groups, np.full(groups, 1 / groups), size=size).astype(np.float64)


def wilson_low(share: float, n: int) -> float:
    """Lower end of `fracture.evidence.wilson`."""
    return wilson(share, n)[0]


def share(
    hits: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], groups: Sequence[Hashable], seed: int = 0
) -> Estimate:
    """The share of hits among some images; the interval is the wider of the bootstrap's over groups and Wilson's.

    Args:
        hits: [n].
        among: [n], the images that count.
        groups: [n], what is resampled together.
        seed: of the resampling.
    """
    member = _members(groups)
    sums = np.zeros((int(member.max()) + 1, 2))
    np.add.at(sums, member, np.stack([hits & among, among], axis=1))
    n, held = int(among.sum()), len(np.unique(member[among]))
    if not n:
        return Estimate(value=None, low=None, high=None, n=0, groups=0, reason="there are no such images")
    value = float(sums[:, 0].sum() / n)
    drawn = np.concatenate([one @ sums for one in draws(len(sums), ROUNDS, seed)])
    spread = ratio(drawn[:, 0], drawn[:, 1])
    low, high = np.nanquantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    least, most = wilson(value, held)
    caution = f"only {_of(held)}" if held < FEW_GROUPS else ""
    return Estimate(
        value=value, low=min(float(low), least), high=max(float(high), most), n=n, groups=held, caution=caution
    )


def _members(groups: Sequence[Hashable]) -> Integers:
    """The position of each image's group among the distinct ones: [n]."""
    return np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]


def _of(groups: int) -> str:
    return f"{groups} group{'' if groups == 1 else 's'}"


def _sides(sample: Sample, member: Integers) -> dict[str, dict[str, int]]:
    """By metric, how many groups each class has that it needs, where that is not all that there are."""
    held = {what: len(np.unique(member[mask])) for what, mask in sample.kinds().items()}
    return {name: {what: held[what] for what in kinds} for name, kinds in sample.needs().items()}


def _estimate(
    name: str, value: float, spread: Floats, member: Integers, among: npt.NDArray[np.bool_], sides: dict[str, int]
) -> Estimate:
    n, groups = int(among.sum()), len(np.unique(member[among]))
    if not np.isfinite(value):
        return Estimate(value=None, low=None, high=None, n=n, groups=groups, reason=_reason(name))
    if name.startswith("ece"):
        spread = np.maximum(0, spread - (np.nanmean(spread) - value))
    low, high = np.nanquantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    caution = _caution(name, float(low), float(high), groups, sides)
    return Estimate(value=value, low=float(low), high=float(high), n=n, groups=groups, caution=caution)


def _reason(name: str) -> str:
    """Why a metric is not defined."""
    reasons = {
        "precision": "nothing was predicted to be of this class",
        "specificity": "no image of another class",
        "auroc": "needs images of this class and of others",
        "average": "needs images of this class and of others",
        "mcc": "needs two classes that occur and two that are predicted",
        "cohen": "needs two classes that occur and two that are predicted",
        "any_fracture_sens": "no image of a fracture",
        "any_fracture_spec": "no image without a fracture",
        "answered": "every image is referred",
    }
    if name.endswith("_auroc"):
        return "needs images of both"
    return next((reason for start, reason in reasons.items() if name.startswith(start)), "no image of this class")


def _caution(name: str, low: float, high: float, groups: int, sides: dict[str, int]) -> str:
    """What keeps an interval from being taken at its word.

    Args:
        name: of the metric.
        low: lower end of its interval.
        high: upper end of it.
        groups: that it was computed from.
        sides: groups of each class that it needs.
    """
    of = _of(groups)
    if low == high in (0.0, 1.0) and name.startswith(_PROPORTIONS):
        plausible = min(1.0, 3 / groups)  # the rule of three (Hanley and Lippman-Hand 1983)
        bound = f"down to {1 - plausible:.2f}" if high == 1.0 else f"up to {plausible:.2f}"
        return f"{_ALIKE} {of}: values {bound} remain plausible"
    if absent := [what for what, held in sides.items() if not held]:
        return f"no image of {', '.join(absent)}, of which it says nothing"
    if groups < FEW_GROUPS:
        return f"only {of}: the interval is too narrow to be believed"
    what = min(sides, key=lambda one: sides[one], default="")
    if what and sides[what] < FEW_GROUPS:
        return f"only {_of(sides[what])} of {what}: the interval is too narrow to be believed"
    return f"{_ALIKE} {of}: no draw of them gives another value" if low == high else ""
