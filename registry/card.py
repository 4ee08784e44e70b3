"""The model card: generated from the evidence; it refuses to be rendered with holes."""

from collections.abc import Sequence

from fracture.errors import GateError
from fracture.evaluation.report.page import shown
from fracture.evaluation.report.words import limits, summary
from registry.evidence import Evidence
from registry.gates import Gate


def render(evidence: Evidence, gates: Sequence[Gate], use: str) -> str:
    """The card as markdown.

    Raises:
        GateError: something that a reader must know is not known.
    """
    results, excused = evidence.results, any(gate.name == "card" and gate.waived for gate in gates)
    if results is None or (evidence.unknown and not excused):
        raise GateError(f"the model card would have holes: {', '.join(evidence.unknown)}")
    looked = evidence.audit not in ("", "off")
    audit = {"confounded": evidence.confounded, "verdict": evidence.audit} if looked else None
    test = results.splits["test"]
    lines = [
        f"# {results.model}", "", f"For {use} use. Research software, not a medical device.", "",
        "## What it does", *(f"- {line}" for line in summary(results, audit)), "",
        "## Figures on the test split", "",
        f"{test.n} images, {test.metrics['accuracy'].groups} groups; 95 % intervals.", "",
        "| metric | value |", "|---|---|",
        *(f"| {name.replace('_', ' ')} | {shown(found)} |" for name, found in test.metrics.items()), "",
        "## What it costs", "", "On the CPU of the machine that promoted it, all its threads:", "",
        f"- one image through the model alone: {_known(evidence.latency_ms, 'ms')}",
        f"- weights: {_known(results.checkpoint_mib, 'MiB')}",
        f"- memory of a process that answers, libraries included: {_known(evidence.memory_mib, 'MiB')}", "",
        "## Disturbed", "", "Accuracy on validation, " + (
            ", ".join(f"{name}: {value:.3f}" for name, value in evidence.robustness.items()) or "not measured"
        ) + ".", "",
        "## Limits", *(f"- {line}" for line in limits(results, audit)), "",
        "## Gates", "", "| gate | state | figure | threshold | |", "|---|---|---|---|---|",
        *(f"| {g.name} | {g.state} | {g.figure} | {g.threshold} | {g.note} |" for g in gates), "",
        "## Where it comes from", "",
        f"Run `{evidence.run_id}`, code `{evidence.commit or 'not in git'}`, data `{results.data_digest}`, test split "
        f"`{results.test_digest}`, weights `{results.weights_sha256}`.",
        f"First weights: {results.weights_origin}, licence {evidence.licence}. Chosen by {results.select_metric} at "
        f"epoch {results.best_epoch}. Temperature {results.calibration.temperature:.3f}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _known(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.1f} {unit}"
