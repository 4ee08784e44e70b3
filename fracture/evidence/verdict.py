"""What is said of one image: decided here, once, for every page, table, answer and report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fracture.evidence.decisions import Sets
from fracture.evidence.healthy import NO_HEALTHY_CLASS

Said = Literal["fracture reported", "no fracture reported", "class reported", "a person must look"]
REPORTED: Said = "fracture reported"
NOT_REPORTED: Said = "no fracture reported"
CLASS_REPORTED: Said = "class reported"
LOOK: Said = "a person must look"

NO_POINT = "there is no threshold for reporting a fracture"
NO_REFERRAL = "the model is never sure enough to keep errors rare: every image is referred"
NO_NUMBERS = "the model gave no probabilities"


@dataclass(frozen=True)
class Rule:
    """What one image is decided by.

    Attributes:
        classes: in the order of the probabilities.
        healthy: the class without a fracture, None where none is known.
        fracture_threshold: a fracture is reported from this probability of any fracture on; None: none is known.
        refer_below: a person must look below this probability of the most probable class; None: always, 0: never.
        sets: from which probability on each class remains possible; None: nothing was settled.
    """

    classes: tuple[str, ...]
    healthy: str | None
    fracture_threshold: float | None
    refer_below: float | None
    sets: Sets | None = None


@dataclass(frozen=True)
class Verdict:
    """What is said of one image, the decision first.

    Attributes:
        decision: ``a person must look`` goes before all else; ``class reported`` where no class is known to be healthy,
            so that nobody can say whether there is a fracture.
        label: the kind. It never contradicts ``fracture``: the most probable kind of fracture where one is reported at
            the operating point, the healthy class where none is, the most probable class where there is no such point.
        fracture: whether one is reported at the operating point, whoever must look besides; None without one.
        fracture_probability: of any fracture; None where no class is known to be healthy.
        reason: why a person must look, empty where nobody has to.
        possible: the classes that remain possible, in order; empty where nothing was settled.
        possible_in_words: these in a sentence, with the coverage that they were fitted for. "Only" is said of them as
            far as ``fracture`` and ``label`` say the same, and never where a person must look.
    """

    decision: Said
    label: str
    fracture: bool | None
    fracture_probability: float | None
    reason: str
    possible: tuple[str, ...] = ()
    possible_in_words: str = ""


def decide(rule: Rule, probabilities: Sequence[float], doubt: str = "") -> Verdict:
    """Decide about one image.

    Args:
        rule: thresholds and classes.
        probabilities: calibrated, one a class.
        doubt: why a person must look whatever the probabilities are, empty where nothing speaks against the image.
    """
    if not all(math.isfinite(share) for share in probabilities):
        return Verdict(LOOK, "", None, None, doubt or NO_NUMBERS)
    shares = dict(zip(rule.classes, probabilities, strict=True))
    kinds = [name for name in rule.classes if name != rule.healthy]
    any_fracture = None if rule.healthy is None else float(1 - shares[rule.healthy])
    fracture = None
    if any_fracture is not None and rule.fracture_threshold is not None and kinds:
        fracture = bool(any_fracture >= rule.fracture_threshold)
    reason = doubt or _why_look(rule, max(probabilities), lacks_point=rule.healthy is not None and fracture is None)
    said = {True: REPORTED, False: NOT_REPORTED, None: CLASS_REPORTED}[fracture]
    label = _kind(rule, shares, kinds, fracture)
    verdict = Verdict(LOOK if reason else said, label, fracture, any_fracture, reason)
    return verdict if doubt or rule.sets is None else _with_possible(verdict, rule, rule.sets, shares)


def explained(rule: Rule) -> list[str]:
    """The rule in sentences, for whoever reads its decisions."""
    threshold, refer = rule.fracture_threshold, rule.refer_below
    if rule.healthy is None:
        undecided = f"Whether there is a fracture is not decided, because {NO_HEALTHY_CLASS}."
        reported = f"The most probable class is reported. {undecided}"
    elif threshold is None:
        reported = f"A person must look at every image, because {NO_POINT}."
    else:
        reported = f"A fracture is reported where the probability of any fracture is {threshold:.1%} or more."
    if refer is None:
        return [reported, f"A person must look at every image: {NO_REFERRAL.partition(':')[0]}."]
    if not refer:
        return [reported]
    return [
        reported,
        f"A person must look where the most probable class has less than {refer:.1%}, and where a file cannot be "
        "read or is unlike a radiograph.",
    ]


def coverage_explained(rule: Rule) -> str:
    """What the coverage of possible classes means, in a sentence; empty where nothing was settled."""
    if rule.sets is None:
        return ""
    share = 100 * rule.sets.coverage
    return f"{share:g}% coverage: the true class is among these in {share:g} or more of 100 images, on average."


def _kind(rule: Rule, shares: dict[str, float], kinds: Sequence[str], fracture: bool | None) -> str:
    if fracture is False:
        return str(rule.healthy)
    return max(kinds if fracture else rule.classes, key=shares.__getitem__)


def _with_possible(verdict: Verdict, rule: Rule, sets: Sets, shares: Mapping[str, float]) -> Verdict:
    """The verdict with the classes that remain possible; the most probable one always does."""
    top = max(shares.values())
    fits = [name for name in rule.classes if shares[name] >= sets.thresholds[name]]
    possible = tuple(name for name in rule.classes if name in fits or shares[name] == top)
    at = f"at {100 * sets.coverage:g}% coverage"
    words = _remaining(rule, verdict, possible, at) if fits or not verdict.reason else f"no class fits {at}"
    return replace(verdict, possible=possible, possible_in_words=words)


def _remaining(rule: Rule, verdict: Verdict, possible: Sequence[str], at: str) -> str:
    """What the possible classes say, as far as the decision says the same."""
    listed = " or ".join(possible)
    if verdict.reason:  # a person must look: what would take something from that is not said
        return f"possible {at}: {listed}"
    if tuple(possible) == (verdict.label,):
        return f"the only class that remains possible {at}: {listed}"
    if rule.healthy is None:
        return f"several classes remain possible {at}: {listed}"
    if rule.healthy not in possible and verdict.fracture:
        return f"only kinds of fracture remain possible {at}: {listed}"
    return f"whether there is a fracture is open {at}: {listed}"


def _why_look(rule: Rule, largest: float, *, lacks_point: bool) -> str:
    if rule.refer_below is None:
        return NO_REFERRAL
    if lacks_point:
        return NO_POINT
    if largest < rule.refer_below:
        return f"confidence too low: the most probable class has {largest:.1%}, {rule.refer_below:.1%} is needed"
    return ""
