"""Several finished runs as one model: nothing is trained, their kept answers are mixed and judged like any run's."""

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from fracture.data.manifest import Manifest
from fracture.errors import ConfigError
from fracture.evaluation import predictions
from fracture.evaluation.decide import Answers, Fitted, describe, fit_decisions
from fracture.evaluation.ensemble import fit_weights, mix
from fracture.evaluation.judge import judge, judge_slices
from fracture.evaluation.metrics import softmax
from fracture.evaluation.predictions import Predictions
from fracture.evaluation.studies import judge_studies
from fracture.evidence import Decided, EnsembleResults, Results, read_kept
from fracture.evidence.healthy import NONE
from fracture.files import write_json
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.models.checkpoint import Sidecar
from fracture.models.ensemble import PLAIN, Ensemble
from fracture.models.ensemble import Member as Part
from fracture.progress import Terminal
from fracture.rules import USUAL
from fracture.runs import ensemble_report, resume_command
from fracture.runs.audit import VERDICTS
from fracture.runs.delivery import tracked_evaluation
from fracture.runs.target import read_manifest
from fracture.tracking import artifacts, environment, query, store
from fracture.tracking.run import TrackedRun
from fracture.training import execution
from fracture.training.conclude import read_probe

_KEPT = ("manifest.csv", "config.json")  # of the data, which all members share
_NAMES = ("best.pth", "best.json", "results.json", "predictions_val.csv", "predictions_test.csv", "probe.npz", *_KEPT)
_COMMIT = "mlflow.source.git.commit"
_LARGE = 0.01  # difference of a probability that is worth a sentence


@dataclass(frozen=True)
class Member:
    """One run of an ensemble: its tags, results and network, and its answers by split."""

    run_id: str
    tags: dict[str, str]
    results: Results
    network: nn.Module
    sidecar: Sidecar
    answers: dict[str, Predictions]
    folder: Path

    def probabilities(self, split: str, order: Sequence[str]) -> npt.NDArray[np.float64]:
        """Calibrated probabilities [n, classes] of the images with these content hashes."""
        place = {digest: i for i, digest in enumerate(self.answers[split].sha256)}
        logits = self.answers[split].logits[[place[digest] for digest in order]]
        return softmax(logits / self.results.calibration.temperature)

    def described(self, weight: float) -> Part:
        """As the sidecar of the ensemble holds it."""
        own = self.sidecar
        return Part(
            run=self.run_id, weight=weight, temperature=self.results.calibration.temperature,
            **own.model_dump(include={"model", "image_size", "scales", "mean", "std", "license"}),
        )  # fmt: skip


def ensemble(run_ids: Sequence[str], terminal: Terminal) -> EnsembleResults:
    """Mix two or more runs with weights fitted on validation, judge the mixture, and log it as a run.

    Raises:
        ConfigError: fewer than two runs, one named twice or without predictions, or runs on other data, classes or
            healthy classes.
        Interrupted: all is computed and kept for the store, which does not answer.
    """
    query.check_distinct(run_ids)
    if len(run_ids) < 2:
        raise ConfigError("an ensemble needs two runs or more; `mlflow ui` and `fracture compare` show their ids")
    with tempfile.TemporaryDirectory() as folder:
        members = [_member(run_id, Path(folder) / run_id) for run_id in run_ids]
        _check(members)
        manifest = read_manifest(members[0].run_id, members[0].folder, members[0].results.data_digest)
        resume = resume_command.command_line({"resume": "{run}"}, store.attached_run_id() is not None)
        short = ", ".join(member.run_id[:6] for member in members)
        run = TrackedRun.begin(f"ensemble of {len(members)}: {short}", "ensemble", watched=False)
        with tracked_evaluation(run, terminal, resume) as out:
            out.mkdir()
            results = _judge(members, manifest, out)
            audits = [member.folder / "audit.json" for member in members]
            run.describe(ensemble_report.write(results, predictions.read(out / "predictions_test.csv"), audits, out))
            _log(run, members, results)
    terminal.say(f"Healthy class: {results.healthy or NONE}, as the runs name it.")
    shares = [[m.run_id, m.results.model, f"{results.members[m.run_id]:.3f}"] for m in members]
    terminal.table("Weights, fitted on validation", ["run", "model", "weight"], shares)
    terminal.results(results)
    if (results.difference or 0) > _LARGE:
        terminal.warn(
            f"On the probe images the network's probabilities differ by up to {results.difference:.3f} from the "
            "members' kept answers, which are evaluated here; the cause is another precision, or members with other "
            f"image sizes. `fracture evaluate {run.id} --data DATA` evaluates the network itself."
        )
    terminal.say(
        f"Run {run.id} can be used like any model: `fracture evaluate {run.id} --data DATA`, `fracture predict "
        f"{run.id} IMAGES`, `fracture serve {run.id}`, `python -m registry promote {run.id}`."
    )
    return results


def _member(run_id: str, folder: Path) -> Member:
    run = query.run_of(run_id)
    if inner := run.tags.get("fracture.members"):
        raise ConfigError(f"run {run_id} is an ensemble itself; name its members instead: {inner.replace(',', ' ')}")
    folder.mkdir()
    found = {path.name for path in artifacts.fetch(run_id, (*_NAMES, "audit.json"), folder)}
    if missing := set(_NAMES) - found:
        raise ConfigError(
            f"run {run_id}: has no {', '.join(sorted(missing))}; only finished training runs can be combined"
        )
    results = read_kept(Results, folder / "results.json", run_id)
    with artifacts.named(folder, f"run {run_id}"):
        network, sidecar = checkpoint.load(folder / "best.pth")
        read_probe(folder / "probe.npz")  # what is damaged is told before a run begins
        answers = {split: predictions.read(folder / f"predictions_{split}.csv") for split in ("val", "test")}
    if sidecar.weights_sha256 != results.weights_sha256:
        raise ConfigError(f"run {run_id}: best.pth does not have the weights of its results")
    return Member(run_id, run.tags, results, network, sidecar, answers, folder)


def _check(members: Sequence[Member]) -> None:
    first = members[0].results
    for member in members[1:]:
        for what in ("classes", "data_digest"):
            one, other = getattr(first, what), getattr(member.results, what)
            if one != other:
                raise ConfigError(
                    f"runs {members[0].run_id} and {member.run_id} cannot be combined: {what} {one} and {other}.\n"
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
        raise ConfigError(f"the runs cannot be combined: they have different healthy classes: {listed}")
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
    decided = describe(answers, fitted, "validation", wanted)
    sidecar = _write_model(members, weights, fitted, decided, out)
    results = EnsembleResults(
        model=sidecar.model,
        classes=classes,
        healthy=fitted.healthy,
        synthetic=first.results.synthetic,
        data=first.results.data,
        data_digest=first.results.data_digest,
        test_digest=first.results.test_digest,
        weights_sha256=sidecar.weights_sha256,
        calibration=fitted.calibration,
        operating_point=fitted.operating_point,
        referral=fitted.referral,
        decisions=decided,
        splits=splits,
        slices=slices,
        studies=judge_studies(
            [manifest.rows[i] for i in rows["test"]], logits["test"], labels["test"], classes, fitted.decisions
        ),
        latency_ms=_sum([member.results.latency_ms for member in members]),
        checkpoint_mib=(out / "best.pth").stat().st_size / 2**20,
        members={part.run: part.weight for part in sidecar.members},
        weights_origin=_each(member.results.weights_origin for member in members),
        select_metric=_each(member.results.select_metric for member in members),
        difference=_probe(members, logits["test"], out),
    )
    write_json(out / "results.json", results.model_dump(mode="json"))
    return results


def _sum(values: Sequence[float | None]) -> float | None:
    """The members answer one after the other."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _each(values: Iterable[str]) -> str:
    """What members have of something, once each."""
    return "; ".join(dict.fromkeys(value for value in values if value))


def _write_model(
    members: Sequence[Member], weights: npt.NDArray[np.float64], fitted: Fitted, decided: Decided, out: Path
) -> Sidecar:
    """Write the members as one network with its decisions, as best.pth and best.json."""
    parts = tuple(member.described(float(weight)) for member, weight in zip(members, weights, strict=True))
    own = [member.sidecar for member in members]
    state = Ensemble([member.network for member in members], parts).state_dict()
    sidecar = Sidecar(
        model="ensemble of " + ", ".join(part.model for part in parts),
        members=parts,
        classes=own[0].classes,
        healthy=fitted.healthy,
        image_size=max(part.image_size for part in parts),
        mean=PLAIN[0],
        std=PLAIN[1],
        parameters=sum(one.parameters for one in own),
        weights_sha256=checkpoint.weights_sha256(state),
        epoch=max(one.epoch for one in own),
        synthetic=any(one.synthetic for one in own),
        license=_each(part.license for part in parts),
    ).decided_by(fitted.calibration, fitted.operating_point, fitted.referral, decided, fitted.healthy)
    checkpoint.save(out / "best.pth", state, sidecar)
    for name in _KEPT:
        shutil.copyfile(members[0].folder / name, out / name)
    write_json(out / "environment.json", environment.environment(execution.hardware("cpu")))
    return sidecar


def _probe(members: Sequence[Member], mixed: npt.NDArray[np.float64], out: Path) -> float:
    """Ask the network about the probe of the member that reads the largest images, and keep that.

    Returns:
        The largest difference of a probability from ``mixed``: the kept answers, the first of them to these images.
    """
    largest = max(members, key=lambda member: member.sidecar.image_size)
    images = read_probe(largest.folder / "probe.npz")
    logits = Predictor(*checkpoint.load(out / "best.pth")).logits(images)
    np.savez(out / "probe.npz", images=images, logits=logits)
    return float(np.abs(softmax(logits) - softmax(mixed[: len(images)])).max())


def _log(run: TrackedRun, members: Sequence[Member], results: EnsembleResults) -> None:
    run.params({"model": results.model, "members": ",".join(results.members)})
    licence, commits = _each(m.sidecar.license for m in members), (m.tags.get(_COMMIT, "") for m in members)
    run.tag({
        "fracture.kind": "ensemble", "fracture.members": ",".join(results.members), "fracture.model": results.model,
        "fracture.healthy": results.healthy or NONE,
        "fracture.data_digest": results.data_digest, "fracture.test_digest": results.test_digest,
        "fracture.weights_sha256": results.weights_sha256, "fracture.synthetic": str(results.synthetic).lower(),
        "fracture.weights": results.weights_origin, "fracture.weights_license": licence, _COMMIT: _each(commits),
        **audited([member.tags for member in members]),
    })  # fmt: skip
    run.judged(results)
    run.take_inputs(members[0].run_id)


def audited(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What audits of the data have found, by the tags of runs that share it: the worst; ``off`` where nobody looked."""
    verdicts = [verdict for one in tags if (verdict := one.get("fracture.audit", "off")) in VERDICTS]
    confounded = [one.get("fracture.confounded", "") for one in tags]
    found = {"fracture.audit": max(verdicts, key=VERDICTS.index) if verdicts else "off"}
    return found | ({"fracture.confounded": "true" if "true" in confounded else "false"} if any(confounded) else {})
