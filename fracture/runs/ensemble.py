"""Several finished runs as one model: nothing is trained, their kept answers are mixed and judged like any run's."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fracture.data.manifest import Manifest, read_csv
from fracture.errors import ConfigError
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, describe, fit_decisions
from fracture.evaluation.ensemble import fit_weights, mix
from fracture.evaluation.judge import judge, judge_slices
from fracture.evaluation.metrics import softmax
from fracture.evaluation.predictions import Predictions
from fracture.evidence import EnsembleResults, Results
from fracture.evidence.healthy import NONE
from fracture.files import write_json
from fracture.progress import Terminal
from fracture.rules import USUAL
from fracture.tracking import artifacts
from fracture.tracking.run import TrackedRun

_NAMES = ("results.json", "predictions_val.csv", "predictions_test.csv", "manifest.csv")


@dataclass(frozen=True)
class Member:
    """One run of an ensemble: its results, and its answers by split."""

    run_id: str
    results: Results
    answers: dict[str, Predictions]
    folder: Path

    def probabilities(self, split: str, order: Sequence[str]) -> npt.NDArray[np.float64]:
        """Calibrated probabilities [n, classes] of the images with these content hashes."""
        place = {digest: i for i, digest in enumerate(self.answers[split].sha256)}
        logits = self.answers[split].logits[[place[digest] for digest in order]]
        return softmax(logits / self.results.calibration.temperature)


def ensemble(run_ids: Sequence[str], terminal: Terminal) -> EnsembleResults:
    """Mix two or more runs with weights fitted on validation, judge the mixture, and log it as a run.

    Raises:
        ConfigError: fewer than two runs, one without predictions, or runs on other data, classes or healthy classes.
    """
    if len(set(run_ids)) < 2:
        raise ConfigError("an ensemble needs two runs or more; `mlflow ui` and `fracture compare` show their ids")
    with tempfile.TemporaryDirectory() as folder:
        members = [_member(run_id, Path(folder) / run_id) for run_id in dict.fromkeys(run_ids)]
        _check(members)
        manifest = read_csv(members[0].folder / "manifest.csv")
        out = Path(folder) / "ensemble"
        out.mkdir()
        run = TrackedRun.begin(f"ensemble of {len(members)}", "ensemble", watched=False)
        try:
            results = _judge(members, manifest, out)
            _log(run, results, out)
        except BaseException as error:
            run.end("FAILED", str(error))
            raise
        run.end("FINISHED")
    terminal.say(f"Healthy class: {results.healthy or NONE}, as the runs name it.")
    shares = [[m.run_id, m.results.model, f"{results.members[m.run_id]:.3f}"] for m in members]
    terminal.table("Weights, fitted on validation", ["run", "model", "weight"], shares)
    terminal.results(results)
    return results


def _member(run_id: str, folder: Path) -> Member:
    folder.mkdir()
    found = {path.name for path in artifacts.fetch(run_id, _NAMES, folder)}
    if missing := set(_NAMES) - found:
        raise ConfigError(
            f"run {run_id}: holds no {', '.join(sorted(missing))}; only finished training runs can be mixed"
        )
    results = Results.model_validate_json((folder / "results.json").read_bytes())
    answers = {split: predictions.read(folder / f"predictions_{split}.csv") for split in ("val", "test")}
    return Member(run_id, results, answers, folder)


def _check(members: Sequence[Member]) -> None:
    first = members[0].results
    for member in members[1:]:
        for what in ("classes", "data_digest"):
            one, other = getattr(first, what), getattr(member.results, what)
            if one != other:
                raise ConfigError(
                    f"runs {members[0].run_id} and {member.run_id} cannot be mixed: {what} {one} and {other}.\n"
                    "The members of an ensemble are trained on the same data, with the same split."
                )


def _healthy(members: Sequence[Member]) -> str | None:
    """The one healthy class that members name; those from before it was recorded, or without one, name none.

    Raises:
        ConfigError: they name different ones.
    """
    named = {member.results.healthy: member.run_id for member in members if member.results.healthy}
    if len(named) > 1:
        listed = ", ".join(f"{name} (run {run_id})" for name, run_id in named.items())
        raise ConfigError(f"the runs cannot be mixed: each takes another class for healthy: {listed}")
    return next(iter(named), None)


def _judge(members: Sequence[Member], manifest: Manifest, out: Path) -> EnsembleResults:
    first = members[0]
    order = {split: first.answers[split].sha256 for split in ("val", "test")}
    labels = {split: first.answers[split].labels for split in order}
    shares = {split: np.stack([m.probabilities(split, order[split]) for m in members]) for split in order}
    weights = fit_weights(shares["val"], labels["val"])
    logits = {split: mix(shares[split], weights) for split in order}
    classes = first.results.classes
    answers = Answers(logits["val"], labels["val"], first.answers["val"].groups, classes, _healthy(members))
    wanted = first.results.decisions.wanted if first.results.decisions else USUAL
    fitted = fit_decisions(answers, wanted)
    place = {row.sha256: i for i, row in enumerate(manifest.rows)}
    rows = {split: [place[digest] for digest in order[split]] for split in order}
    for split in order:
        path, temperature = out / f"predictions_{split}.csv", fitted.calibration.temperature
        predictions.write(path, manifest, rows[split], logits[split], temperature, fitted.rule(classes))
    groups = {split: first.answers[split].groups for split in order}
    splits = {split: judge(logits[split], labels[split], groups[split], classes, fitted.decisions) for split in order}
    columns = manifest.columns(rows["test"])
    slices = judge_slices(columns, logits["test"], labels["test"], groups["test"], classes, fitted.decisions)
    share = {member.run_id: float(weight) for member, weight in zip(members, weights, strict=True)}
    results = EnsembleResults(
        model="ensemble of " + ", ".join(member.results.model for member in members),
        classes=classes,
        healthy=fitted.healthy,
        synthetic=first.results.synthetic,
        data=first.results.data,
        data_digest=first.results.data_digest,
        test_digest=first.results.test_digest,
        weights_sha256=_digest(members, weights),
        calibration=fitted.calibration,
        operating_point=fitted.operating_point,
        referral=fitted.referral,
        decisions=describe(answers, fitted, "validation", wanted),
        splits=splits,
        slices=slices,
        latency_ms=_sum([member.results.latency_ms for member in members]),
        checkpoint_mib=_sum([member.results.checkpoint_mib for member in members]),
        members=share,
    )
    write_json(out / "results.json", results.model_dump(mode="json"))
    return results


def _sum(values: Sequence[float | None]) -> float | None:
    """The members are asked one after the other."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _digest(members: Sequence[Member], weights: npt.NDArray[np.float64]) -> str:
    parts = [f"{m.results.weights_sha256} {weight:.9f}" for m, weight in zip(members, weights, strict=True)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _log(run: TrackedRun, results: EnsembleResults, out: Path) -> None:
    run.params({"model": results.model, "members": ",".join(results.members)})
    run.tag({
        "fracture.kind": "ensemble", "fracture.members": ",".join(results.members), "fracture.model": results.model,
        "fracture.healthy": results.healthy or NONE,
        "fracture.data_digest": results.data_digest, "fracture.test_digest": results.test_digest,
        "fracture.weights_sha256": results.weights_sha256, "fracture.synthetic": str(results.synthetic).lower(),
    })  # fmt: skip
    run.judged(results, step=0)
    run.evidence(out)
