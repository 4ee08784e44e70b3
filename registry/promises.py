"""Whether a model's thresholds were chosen for what is wanted, and whether anything speaks against their promises."""

from fracture.evidence import Decided, Estimate, Judged, wilson
from fracture.evidence.decisions import ANSWERED, ERROR, SENSITIVITY, SPECIFICITY
from fracture.rules import parse_rule
from registry.thresholds import ANY, Promises

_REFIT = "`fracture evaluate RUN --data DATA --refit-decisions --operating RULE --refer-error SHARE` decides anew"


def problems(results: Judged, wanted: Promises) -> list[str]:
    """What is wrong with a model's promises, one sentence each."""
    found = results.decisions
    if found is None:  # from before it was recorded
        wanted_more = wanted.operating != ANY or wanted.refer_error != ANY
        return [f"what its thresholds were fitted for was not recorded: {_REFIT}"] if wanted_more else []
    lines = _other(found, wanted)
    if wanted.kept:
        lines += [*found.unmet, *_denied(results, found)]
    return lines


def _other(found: Decided, wanted: Promises) -> list[str]:
    """Where the thresholds were chosen for less, or for something else."""
    lines = []
    if wanted.operating != ANY and not _as_strict(found.operating, wanted.operating):
        lines.append(f"its threshold was fitted by {found.operating}, {wanted.operating} is wanted: {_REFIT}")
    if wanted.refer_error != ANY and found.refer_error > float(wanted.refer_error):
        lines.append(
            f"its referral was fitted for refer_error={found.refer_error:g}, {wanted.refer_error:g} is wanted: {_REFIT}"
        )
    return lines


def _as_strict(own: str, wanted: str) -> bool:
    (kind, value), (other, least) = parse_rule(own), parse_rule(wanted)
    return kind == other and (value >= least if kind in ("sensitivity", "specificity") else value == least)


def _denied(results: Judged, found: Decided) -> list[str]:
    """Promises that lie outside the interval of cross-fitting, or of the images that the model is judged on."""
    test = results.splits["test"].metrics
    kind, least = parse_rule(found.operating)
    right = 1 - found.refer_error
    held = [("cross-fitting", "right among the answered", right, _complement(found.expected.get(ERROR)))]
    held.append(("the test", "right among the answered", right, test.get("answered_accuracy")))
    for name in (SENSITIVITY, SPECIFICITY):
        if name == f"any_fracture_{kind}":
            held += [
                ("cross-fitting", kind, least, found.expected.get(name)),
                ("the test", kind, least, test.get(name)),
            ]
    return [
        f"{what}: {share:.3f} promised, {one.value:.3f} [{one.low:.3f}, {one.high:.3f}] by {source} (n = {one.n})"
        for source, what, share, one in held
        if one is not None and one.value is not None and _highest(one) < share
    ]


def _highest(found: Estimate) -> float:
    """The upper end, Wilson's where that is higher: of a few images that are all alike a bootstrap says too much."""
    assert found.value is not None
    assert found.high is not None
    return max(found.high, wilson(found.value, found.groups)[1])


def _complement(found: Estimate | None) -> Estimate | None:
    if found is None or found.value is None or found.low is None or found.high is None:
        return None
    return found.model_copy(update={"value": 1 - found.value, "low": 1 - found.high, "high": 1 - found.low})


def figure(results: Judged) -> str:
    """What is to be expected, short."""
    found = results.decisions
    if found is None:
        return "not recorded"
    error, share = found.expected.get(ERROR), found.expected.get(ANSWERED)
    if error is None or error.value is None or share is None or share.value is None:
        return "every image is referred"
    return f"{error.value:.1%} wrong among {share.value:.0%} answered"
