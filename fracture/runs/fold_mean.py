"""The mean of the heads of all folds as one model, judged by their out-of-fold answers to every image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fracture.data.manifest import Manifest, read_csv, write_csv
from fracture.errors import ConfigError
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, Fitted, cross_fitted
from fracture.evaluation.judge import judge, judge_slices
from fracture.evaluation.metrics import softmax
from fracture.evaluation.sample import Decisions
from fracture.evaluation.studies import judge_studies
from fracture.evidence import Decided, FoldMeanResults, Results
from fracture.files import replacing, write_json
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.models.backbones import last_layer
from fracture.tracking import environment
from fracture.training import execution
from fracture.training.conclude import read_probe

NAMES = ("best.pth", "best.json", "probe.npz", "config.json")  # of each fold, beside its results
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_APART = 0.05  # of a probability: more than the mean of batch statistics may change


def write(
    folds: Sequence[Path], results: Sequence[Results], answers: Answers, fitted: Fitted, decided: Decided, out: Path
) -> FoldMeanResults:
    """Write the model, its results and what the registry asks of a run into ``out``.

    Args:
        folds: a folder each, with `NAMES` and a manifest.
        results: of each fold.
        answers: out of fold, to all images, in the order of ``out``'s predictions_out_of_fold.csv.
        fitted: what all of these answers decide, for the model to go on with.
        decided: what that rests on.
        out: a folder.

    Raises:
        ConfigError: the folds' models differ in more than their heads, or their mean answers otherwise than they do.
    """
    sidecar = _write_model(folds, fitted, decided, out)
    difference = _probe(folds, out)
    manifest = _all_learned(read_csv(folds[0] / "manifest.csv"))
    with replacing(out / "manifest.csv") as part:
        write_csv(manifest, part)
    (out / "config.json").write_bytes((folds[0] / "config.json").read_bytes())
    write_json(out / "environment.json", environment.environment(execution.hardware("cpu")))
    rows = _write_answers(manifest, fitted, answers.classes, out)
    found = FoldMeanResults(
        **results[0].model_dump(include={"model", "classes", "synthetic", "data", "weights_origin", "select_metric"}),
        **judged(manifest, rows, answers, cross_fitted(answers, decided.wanted) or fitted.decisions),
        healthy=fitted.healthy,
        data_digest=manifest.digest(),
        test_digest=as_test(manifest).digest("test"),
        weights_sha256=sidecar.weights_sha256,
        calibration=fitted.calibration,
        operating_point=fitted.operating_point,
        referral=fitted.referral,
        decisions=decided,
        latency_ms=results[0].latency_ms,
        checkpoint_mib=(out / "best.pth").stat().st_size / 2**20,
        folds=len(folds),
        difference=difference,
    )
    write_json(out / "results.json", found.model_dump(mode="json"))
    return found


def _write_model(folds: Sequence[Path], fitted: Fitted, decided: Decided, out: Path) -> checkpoint.Sidecar:
    """The mean of the folds' weights with what was decided; its sidecar."""
    loaded = [checkpoint.load(fold / "best.pth")[0] for fold in folds]
    states = [model.state_dict() for model in loaded]
    _same_below(states, _last(loaded[0]))
    state = {name: _mean([one[name] for one in states]) for name in states[0]}
    first = checkpoint.read_sidecar(folds[0] / "best.pth")
    sidecar = first.model_copy(update={"weights_sha256": checkpoint.weights_sha256(state)}).decided_by(
        fitted.calibration, fitted.operating_point, fitted.referral, decided, fitted.healthy
    )
    checkpoint.save(out / "best.pth", state, sidecar)
    return sidecar


def _write_answers(manifest: Manifest, fitted: Fitted, classes: tuple[str, ...], out: Path) -> list[int]:
    """The out-of-fold answers as those of the test, with what is decided of each; their rows of the manifest."""
    kept = predictions.read(out / "predictions_out_of_fold.csv")
    rows = rows_of(manifest, kept.sha256)
    temperature, rule = fitted.calibration.temperature, fitted.rule(classes)
    predictions.write(out / "predictions_test.csv", manifest, rows, kept.logits, temperature, rule)
    return rows


def rows_of(manifest: Manifest, digests: Sequence[str]) -> list[int]:
    """The rows of a manifest that these images are."""
    place = {row.sha256: i for i, row in enumerate(manifest.rows)}
    return [place[digest] for digest in digests]


def judged(manifest: Manifest, rows: Sequence[int], answers: Answers, decisions: Decisions) -> dict[str, Any]:
    """The fields of the results that say how good the answers are."""
    own = answers.logits, answers.labels, answers.groups, answers.classes, decisions
    images = [manifest.rows[i] for i in rows]
    return {
        "splits": {"test": judge(*own)},
        "slices": judge_slices(manifest.columns(rows), *own),
        "studies": judge_studies(images, answers.logits, answers.labels, answers.classes, decisions),
    }


def as_test(manifest: Manifest) -> Manifest:
    """The same images, all of them as the test that out-of-fold answers make of them."""
    return manifest.with_rows(replace(row, split="test") for row in manifest.rows)


def _all_learned(manifest: Manifest) -> Manifest:
    """The same images, all of which the mean of the heads has learned from."""
    return manifest.with_rows(replace(row, split="train") for row in manifest.rows)


def _last(model: nn.Module) -> set[str]:
    """Names of the tensors of the last layer, none where it is not linear."""
    layer = last_layer(model)
    own = [] if layer is None else [id(tensor) for tensor in layer.parameters()]
    return {name for name, tensor in model.named_parameters() if id(tensor) in own}


def _same_below(states: Sequence[Mapping[str, Tensor]], last: set[str]) -> None:
    """See that nothing differs but the last layer and batch statistics.

    Raises:
        ConfigError: something does.
    """
    first = states[0]
    other = [
        name
        for name in first
        if name not in last and not name.endswith(_STATISTICS)
        if any(not torch.equal(first[name], state[name]) for state in states[1:])
    ]
    if other:
        raise ConfigError(f"the folds' networks were fine-tuned, so they differ (as {other[0]})")


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([one.double() for one in tensors]).mean(dim=0).to(tensors[0].dtype)


def _probe(folds: Sequence[Path], out: Path) -> float:
    """Ask the model the first fold's probe and keep that; the largest difference of a probability from the folds' mean.

    Heads average exactly; what may differ are their batch statistics.

    Raises:
        ConfigError: it is large.
    """
    images = read_probe(folds[0] / "probe.npz")
    logits = Predictor(*checkpoint.load(out / "best.pth")).logits(images)
    each = [Predictor(*checkpoint.load(fold / "best.pth")).logits(images) for fold in folds]
    difference = float(np.abs(softmax(logits) - softmax(np.mean(each, axis=0))).max())
    if difference > _APART:
        raise ConfigError(f"the probabilities of the mean head differ by {difference:.2f} from the mean of theirs")
    np.savez(out / "probe.npz", images=images, logits=logits)
    return difference
