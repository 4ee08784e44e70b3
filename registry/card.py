"""The model card: generated from the evidence; it refuses to be rendered with holes."""

from collections.abc import Sequence

from fracture.errors import GateError
from fracture.evaluation.report.page import shown
from fracture.evaluation.report.words import limits, summary
from fracture.evidence import EvaluationResults, FoldMeanResults, Judged, Results, metric_title
from registry.evidence import Evidence, Trained
from registry.gates import Gate


def render(evidence: Evidence, gates: Sequence[Gate], use: str) -> str:
    """The card as markdown.

    Raises:
        GateError: something that a reader must know is not known.
    """
    results, training = evidence.results, evidence.training
    excused = any(gate.name == "card" and gate.waived for gate in gates)
    if results is None or training is None or (evidence.unknown and not excused):
        raise GateError(f"the model card would be incomplete: {', '.join(evidence.unknown)}")
    looked = evidence.audit not in ("", "off")
    audit = {"confounded": evidence.confounded, "verdict": evidence.audit} if looked else None
    here = "Figures on the test split" if evidence.trained is None else f"Figures on {results.data}, the place of use"
    lines = [
        f"# {results.model}", "", f"For {use} use. Research software, not a medical device.", "",
        "## What it does", *(f"- {line}" for line in summary(results, audit)), "",
        "## How it decides", "", *(f"- {line}" for line in _decisions(results)), "",
        "## Limits", *(f"- {line}" for line in [*_waived(gates), *limits(results, audit)]), "",
        f"## {here}", "", *_figures(results), *_before(evidence),
        "## Cost", "", "On the CPU of the machine that promoted it, all its threads:", "",
        f"- one image through the model alone: {_known(evidence.latency_ms, 'ms')}",
        f"- weights: {_known(results.checkpoint_mib, 'MiB')}",
        f"- memory of a serving process, libraries included: {_known(evidence.memory_mib, 'MiB')}", "",
        "## Robustness", "", f"Accuracy on validation{_again(training)}: {_disturbed(evidence)}.", "",
        "## Gates", "", "| gate | state | figure | threshold | |", "|---|---|---|---|---|",
        *(f"| {g.name} | {g.state} | {g.figure} | {g.threshold} | {g.note} |" for g in gates), "",
        "## Origin", "",
        f"Run `{evidence.run_id}`, code `{evidence.commit or 'not in git'}`, data `{results.data_digest}`, test split "
        f"`{results.test_digest}`, weights `{results.weights_sha256}`.",
        f"Initial weights: {training.weights_origin}, licence {evidence.licence}. Selected by {training.select_metric}"
        f"{_made(training)}. Temperature {results.calibration.temperature:.3f}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _waived(gates: Sequence[Gate]) -> list[str]:
    """The gates that refused, and who went on all the same."""
    waived = [gate for gate in gates if gate.state == "waived"]
    return [f"Gate {one.name}: {one.figure}, wanted {one.threshold}; waived by {one.waived}." for one in waived]


def _disturbed(evidence: Evidence) -> str:
    """What is left of the accuracy by each disturbance."""
    named = {name.replace("none", "unchanged"): value for name, value in evidence.robustness.items()}
    return ", ".join(f"{value:.3f} ({name})" for name, value in named.items()) or "not measured"


def _again(training: Trained) -> str:
    """That the images of validation are no longer new to the model, where they are not."""
    learned = isinstance(training, FoldMeanResults) or (isinstance(training, Results) and training.refit)
    return ", which its head has learned from since" if learned else ""


def _made(training: Trained) -> str:
    """The epoch of a single model, the members of an ensemble."""
    if isinstance(training, Results):
        return f" at epoch {training.best_epoch}"
    if isinstance(training, FoldMeanResults):
        return f", in each of {training.folds} folds; the model is the mean of their heads"
    parts = ", ".join(f"run `{run}` by {weight:.3f}" for run, weight in training.members.items())
    return f". The probabilities of {parts} are averaged, weights fitted on validation"


def _decisions(results: Judged) -> list[str]:
    """What thresholds rest on, what was wanted of them and what is to be expected."""
    point, referral, found = results.operating_point, results.referral, results.decisions
    threshold, refer = point.fracture_threshold, referral.refer_below
    lines = [
        f"A fracture is reported from a probability of {threshold:.3f} on: {point.rule}."
        if threshold is not None
        else f"No threshold for reporting a fracture: {point.note or point.rule}.",
        f"Below a probability of {refer:.3f} of the predicted class a person must look."
        if refer is not None
        else f"Every image is referred to a person: {referral.note.removesuffix('; every image is referred')}.",
    ]
    if found is None:
        return [*lines, "What the thresholds were fitted on was not recorded."]
    unmet = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in found.unmet if sentence != referral.note]
    return [*lines, f"Thresholds were fitted on {found.basis}.", *found.promises(), *unmet]


def _figures(results: Judged) -> list[str]:
    """Every metric of the test split, as a table."""
    test = results.splits["test"]
    groups = test.metrics["accuracy"].groups
    return [
        f"{test.n} images, {groups} groups; 95% intervals.", "", "| metric | value |", "|---|---|",
        *(f"| {metric_title(name)} | {shown(found)} |" for name, found in test.metrics.items()), "",
    ]  # fmt: skip


def _before(evidence: Evidence) -> list[str]:
    """Where only the decisions are new: what the old ones gave on the same images, and the figures of the training."""
    if evidence.trained is None or not isinstance(evidence.results, EvaluationResults):
        return []
    old, new = evidence.results.before, evidence.results.splits["test"].metrics
    changed = [name for name in new if name in old and old[name] != new[name]]
    return [
        "The new decisions are judged by cross-fitting: thresholds are fitted on nine tenths of the groups and used on "
        "the rest. The weights are those of the training. What the new decisions change:", "",
        "| metric | decisions of the training | new ones |", "|---|---|---|",
        *(f"| {metric_title(name)} | {shown(old[name])} | {shown(new[name])} |" for name in changed), "",
        f"## Figures on {evidence.trained.data}, where it was trained", "", "With the decisions of the training.", "",
        *_figures(evidence.trained),
    ]  # fmt: skip


def _known(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.1f} {unit}"
