"""report.html of an ensemble: what its members' kept answers show together; maps and mistakes are in their reports."""

from collections.abc import Sequence
from pathlib import Path

from fracture.evaluation.figures.style import png
from fracture.evaluation.metrics import softmax
from fracture.evaluation.predictions import Predictions
from fracture.evaluation.report.page import Contents, render
from fracture.evaluation.report.words import summary
from fracture.evidence import EnsembleResults
from fracture.files import replacing
from fracture.runs.audit import worst_audit
from fracture.runs.report import answer_figures


def write(results: EnsembleResults, test: Predictions, audits: Sequence[Path], out: Path) -> str:
    """Write the page into ``out``; returns what it says first, as markdown.

    Args:
        results: of the ensemble.
        test: its answers to the test split.
        audits: each member's audit.json; one that is not there was audited by nobody.
        out: a folder.
    """
    shares, audit = softmax(test.logits / results.calibration.temperature), worst_audit(audits)
    drawn = answer_figures(results, shares, test.labels, list(test.groups))
    contents = Contents(
        f"Ensemble of {len(results.members)} runs on {results.data}: results", results,
        {name: png(draw()) for name, draw in drawn.items()}, audit=audit,
        facts={f"member {run}": f"weight {weight:.3f}" for run, weight in results.members.items()},
        reproduce=["fracture ensemble " + " ".join(results.members)],
    )  # fmt: skip
    with replacing(out / "report.html") as part:
        part.write_text(render(contents), encoding="utf-8")
    return "\n".join(f"- {line}" for line in summary(results, audit))
