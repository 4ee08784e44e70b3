"""report.html of the parent of folds: all out-of-fold answers together, and every metric over the folds."""

from pathlib import Path

from fracture.config import TrainConfig, as_text, defaults
from fracture.data.manifest import read_csv
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, Fitted, cross_fitted
from fracture.evaluation.figures.style import png
from fracture.evaluation.metrics import softmax
from fracture.evaluation.report.page import Contents, render
from fracture.evidence import FoldMeanResults, FoldResults, Judged
from fracture.evidence.results import OutOfFold
from fracture.files import replacing
from fracture.runs import fold_mean
from fracture.runs.audit import worst_audit
from fracture.runs.report import answer_figures


def write(
    config: TrainConfig, found: FoldResults, answers: Answers, fitted: Fitted, place: Path, resume_command: str
) -> Path:
    """Write the page into ``place``, which holds a folder a fold and predictions_out_of_fold.csv; returns its path.

    Args:
        config: of all folds.
        found: their results.
        answers: out of fold, to all images.
        fitted: what these decide.
        place: a folder.
        resume_command: the command that made the folds.
    """
    results = _pooled(found, answers, fitted, place)
    shares = softmax(answers.logits / results.calibration.temperature)
    drawn = answer_figures(results, shares, answers.labels, answers.owned)
    usual = defaults()
    contents = Contents(
        f"{found.model.split('.')[0]} on {found.data}, {len(found.runs)} folds: results", results,
        {name: png(draw()) for name, draw in drawn.items()},
        audit=worst_audit([place / str(fold) / "audit.json" for fold in range(len(found.runs))]),
        settings={name: value for name, value in as_text(config).items() if value != usual[name]},
        reproduce=[resume_command], folds=found,
    )  # fmt: skip
    with replacing(place / "report.html") as part:
        part.write_text(render(contents), encoding="utf-8")
    return place / "report.html"


def _pooled(found: FoldResults, answers: Answers, fitted: Fitted, place: Path) -> Judged:
    """Results of all images together: those of the heads' mean where there is one, else of the folds' models."""
    if (place / "results.json").is_file():
        return FoldMeanResults.model_validate_json((place / "results.json").read_bytes())
    manifest = read_csv(place / "0" / "manifest.csv")
    kept = predictions.read(place / "predictions_out_of_fold.csv")
    assert found.decisions is not None
    rows = fold_mean.rows_of(manifest, kept.sha256)
    decisions = cross_fitted(answers, found.decisions.wanted) or fitted.decisions
    return OutOfFold(
        **found.model_dump(include={"model", "classes", "healthy", "synthetic", "data"}),
        **fold_mean.judged(manifest, rows, answers, decisions),
        data_digest=manifest.digest(), test_digest=fold_mean.as_test(manifest).digest("test"), weights_sha256="",
        calibration=fitted.calibration, operating_point=fitted.operating_point, referral=fitted.referral,
        decisions=found.decisions, folds=len(found.runs),
    )  # fmt: skip
