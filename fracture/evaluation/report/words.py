"""Results in sentences: for a clinician, and what they must not be taken for."""

from collections.abc import Mapping
from typing import Any

from fracture.evaluation.calibration import FEW
from fracture.evidence import Estimate, EvaluationResults, FoldMeanResults, Judged
from fracture.evidence.decisions import IN_TRAINING
from fracture.evidence.healthy import NO_HEALTHY_CLASS
from fracture.evidence.results import OutOfFold
from fracture.evidence.verdict import explained

_FEW = 100  # test images of a class below which its recall is said to be known roughly


def summary(results: Judged, audit: Mapping[str, Any] | None) -> list[str]:
    """What the run shows, in a few sentences."""
    test = results.splits["test"]
    found = test.metrics
    lines = [
        f"{_sorts(results)}{_healthy(results)}. "
        f"It was tested on {test.n:,} images of {found['accuracy'].groups:,} groups (patients or originals)"
        f"{_learned(results)}."
    ]
    if results.synthetic:
        lines.append(f"{_rendered(results)} rendered, not radiographs: nothing here has a medical meaning.")
    lines += _audited(results, audit)
    if results.referral.refer_below is None:
        lines += [explained(results.rule)[0], _all_referred(results), _fractures(results)]
    else:
        lines += [*explained(results.rule), _fractures(results), _referral(results)]
    lines += _decided(results)
    otherwise = "" if results.operating_point.fracture_threshold is None else "; the threshold may decide otherwise"
    lines.append(
        f"The most probable class is the true one in about {_of_100(found['accuracy'])} of 100 images{otherwise}."
        + _but(found["accuracy"])
    )
    for name in results.classes:
        recall = found[f"recall_{name}"]
        if _known(recall):
            lines.append(
                f"Of 100 images of \u201c{_plain(name)}\u201d, about {_of_100(recall)} are recognised as such "
                f"({recall.n} were tested)." + _but(recall)
            )
    sets = results.decisions.sets if results.decisions else None
    if sets and _known(share := found.get("set_fracture_share")):
        lines.append(
            f"For each image it also lists the classes that remain possible; the true one is in about "
            f"{100 * sets.coverage:g} of 100 lists. Of 100 fractures, about {_of_100(share)} have only kinds of "
            f"fracture in the list." + _but(share)
        )
    return lines


def limits(results: Judged, audit: Mapping[str, Any] | None) -> list[str]:
    """What the figures must not be taken for."""
    test = results.splits["test"]
    lines = ["Research software, not a medical device. It must not be used to diagnose or treat anyone."]
    if results.synthetic:
        lines.append("Synthetic images in training or test: the scores show that the software works, and no more.")
    if audit is None:
        lines.append("The data was not checked for leakage (audit=off, or another data set than in training).")
    elif audit.get("verdict") == "leaking":
        lines.append("The audit found leakage: test images have relatives in training. The scores are inflated.")
    if audit is not None and audit.get("confounded"):
        lines.append(
            "At least two classes can be predicted from their source: no split of this data can separate "
            "skill from source."
        )
    seen = getattr(results, "seen_in_training", 0)
    if seen:
        lines.append(f"{seen} of the images were used in training or selection: the scores are inflated.")
    if results.healthy is None:
        lines.append(
            f"There is no threshold for reporting a fracture and no sensitivity, because {NO_HEALTHY_CLASS}: if one of "
            f"{_list([_plain(name) for name in results.classes])} is, train with healthy=CLASS. If none is, the model "
            "has no answer for a healthy image."
        )
    if kinds := _joined(results):
        lines.append(
            f"Whether the model tells {_list(kinds)} apart is not judged here. Maps of a fracture are those of the "
            "most probable kind."
        )
    few = [f"{_plain(name)} ({n})" for name, n in test.counts.items() if n < _FEW]
    if few:
        lines.append(f"Few test images of {_list(few)}: the intervals are wide.")
    if 0 < results.calibration.n < FEW:
        lines.append(
            f"Temperature and thresholds were fitted on only {results.calibration.n} images: the probabilities are "
            "rough, and so are the decisions."
        )
    lines += [
        f"{_plain(name)}: {found.caution}." for name, found in test.metrics.items() if found.caution and name in _SAID
    ]
    lines.append(
        "The intervals cover chance in which patients were in the test, not other hospitals, devices, projections or "
        "populations: evaluate the model on data from where it is to be used (`fracture evaluate`)."
    )
    lines.append("Wrong labels count as mistakes of the model.")
    return lines


_SAID = ("accuracy", "balanced_accuracy", "any_fracture_sensitivity", "any_fracture_specificity")


def _joined(results: Judged) -> list[str]:
    """The kinds that count as one fracture class, where the labels do not tell them apart."""
    return [_plain(name) for name in results.joined] if isinstance(results, EvaluationResults) else []


def _sorts(results: Judged) -> str:
    classes = [_plain(name) for name in results.classes]
    if kinds := _joined(results):
        return (
            f"The labels say {' or '.join(classes)}, not which kind of fracture: only that is judged. What the model "
            f"calls {_list(kinds)} counts as a fracture"
        )
    return f"The model sorts radiographs into {_list(classes)}"


def _healthy(results: Judged) -> str:
    return f"; \u201c{_plain(results.healthy)}\u201d is the healthy class" if results.healthy else ""


def _fractures(results: Judged) -> str:
    """How many fractures are reported, and how many where there is none; or why nobody knows."""
    found, point = results.splits["test"].metrics, results.operating_point
    sensitivity, specificity = found.get("any_fracture_sensitivity"), found.get("any_fracture_specificity")
    if results.healthy is None:
        return f"How many fractures it misses is not known, because {NO_HEALTHY_CLASS}."
    if sensitivity is None or specificity is None:
        return f"How many fractures it misses is not known, because it has no threshold: {point.note or point.rule}."
    if not _known(sensitivity) or not _known(specificity):
        reason = sensitivity.reason or specificity.reason
        return f"How many fractures it misses, or reports where there is none, is not known here: {reason}."
    return (
        f"Of 100 fractures it reports about {_of_100(sensitivity)}; of 100 images without a fracture it "
        f"wrongly reports about {_of_100(specificity, wrong=True)}." + (_but(sensitivity) or _but(specificity))
    )


def _learned(results: Judged) -> str:
    """Whether the images were new to the model."""
    if isinstance(results, FoldMeanResults):
        return (
            ", each by the head of a fold that had not learned from it; the model is the mean of these "
            f"{results.folds} heads, which has learned from all of them"
        )
    if isinstance(results, OutOfFold):
        return f", each by the model of one of {results.folds} folds that had not learned from it"
    seen = getattr(results, "seen_in_training", 0)
    if seen is None:
        return "; whether it has learned from some of them is not known"
    return f", of which {seen:,} WERE USED IN ITS TRAINING" if seen else " that it has not learned from"


def _rendered(results: Judged) -> str:
    """Which images are; a model of the demo set may be judged on radiographs."""
    judged = isinstance(results, EvaluationResults)
    return "The images, or those that the model has learned from, are" if judged else "The images are"


def _audited(results: Judged, audit: Mapping[str, Any] | None) -> list[str]:
    """What speaks against believing the figures; what else was not looked at is said by `limits`."""
    if audit is None:
        own = not isinstance(results, EvaluationResults)
        return ["Not audited: nothing is known of copies of training images in the test."] if own else []
    lines = []
    if audit.get("verdict") == "leaking":
        lines.append("Leakage: test images have relatives in training, so the figures are too high.")
    if audit.get("confounded"):
        lines.append(
            "Confounded: the classes come from different sources that can be separated without looking at the bone, "
            "so these figures may partly measure the source."
        )
    return lines


def _all_referred(results: Judged) -> str:
    note = results.referral.note or "no threshold was fitted"
    if note == IN_TRAINING:
        return f"A person must look at every image, as was {note}."
    return f"A person must look at every image: {note.removesuffix('; every image is referred')}."


def _referral(results: Judged) -> str:
    if not results.referral.refer_below:
        return f"Referral is not judged: {results.referral.note}."
    share, right = (results.splits["test"].metrics.get(name) for name in ("answered_share", "answered_accuracy"))
    if not _known(share):
        return "How many images it answers without a person is not known here."
    right_share = f", of which about {_of_100(right)} are right" if _known(right) else ""
    return (
        f"Answered without a person, from a probability of {results.referral.refer_below:.2f} on, are about "
        f"{_of_100(share)} of 100 images{right_share}." + (_but(share) or _but(right))
    )


def _decided(results: Judged) -> list[str]:
    """What was wanted of the thresholds beside what is to be expected, and what could not be had."""
    if results.decisions is None:
        return []
    found = results.decisions
    said = results.referral.note  # by the line on referral
    lines = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in found.unmet if sentence != said]
    if promises := found.promises():
        unseen = ", each by a model that had not seen the image" if found.fitted_on == "out_of_fold" else ""
        lines.append(f"What to expect on new images like these, by {found.basis}{unseen}: {' '.join(promises)}")
    return lines


def _but(found: Estimate | None) -> str:
    """What keeps the interval from being believed, as a sentence."""
    return f" {found.caution[0].upper()}{found.caution[1:]}." if found is not None and found.caution else ""


def _known(found: Estimate | None) -> bool:
    return found is not None and found.value is not None


def _of_100(found: Estimate | None, *, wrong: bool = False) -> str:
    """A share as a number of 100, with its interval."""
    assert found is not None
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    ends = (1 - found.high, 1 - found.low) if wrong else (found.low, found.high)
    value = 1 - found.value if wrong else found.value
    return f"{100 * value:.0f} (95% interval {100 * ends[0]:.0f} to {100 * ends[1]:.0f})"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
