"""Promotion: the best run of the experiment passes the gates and becomes the candidate, or is refused with reasons."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn

import mlflow

from fracture.errors import ConfigError, GateError
from fracture.evidence.healthy import NONE
from fracture.monitoring.use import FLOORS
from fracture.privacy import who
from fracture.progress import Terminal
from fracture.tracking import attached, query
from fracture.tracking.query import Found
from registry import card, check, evidence, gates, origin, package, robustness
from registry.check import CARD
from registry.evidence import Evidence
from registry.gates import Gate
from registry.model_status import ModelStatus
from registry.thresholds import Thresholds
from registry.versions import THRESHOLDS, WEIGHTS, Registry, is_of

_REFUSED = "fracture.refused"
_SHOWN = ("balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class Promotion:
    """What was promoted.

    Attributes:
        version: of the registered model.
        model_uri: of the packaged model.
        gates: what each gate said.
    """

    version: str
    model_uri: str
    gates: Sequence[Gate]


def best_run(metric: str, say: Callable[[str], None] = lambda _line: None) -> Found:
    """The finished training run of the experiment with the highest validation metric among those of the newest data.

    The folds of a cross-validation are left out: they say how good a recipe is, each of them on other data.

    Args:
        metric: by plain name.
        say: takes a line about what it was chosen from.

    Raises:
        ConfigError: there is none, or none with that metric.
    """
    trained = query.finished(["train"])
    runs = [run for run in trained if run.params.get("folds", "1") == "1"]
    if not runs:
        folds = f", only folds of cross-validations ({len(trained)}), of which none is the best" if trained else ""
        raise ConfigError(f"no finished training run in this experiment{folds}; `fracture train` makes one")
    digest = runs[0].tags.get("fracture.data_digest")
    known = [run for run in runs if run.tags.get("fracture.data_digest") == digest and f"best_{metric}" in run.metrics]
    if not known:
        names = sorted(
            {name.removeprefix("best_") for run in runs for name in run.metrics if name.startswith("best_val")}
        )
        raise ConfigError(f"metric={metric}: no run has it. Allowed: {', '.join(names) or 'none'}")
    lower = metric.endswith("loss")
    best = min(known, key=lambda run: run.metrics[f"best_{metric}"] * (1 if lower else -1))
    left = len(trained) - len(known)
    out = f"; {left} of other data, without that metric, or folds are left out" if left else ""
    say(
        f"Best by {metric}, {best.metrics[f'best_{metric}']:.3f}, of {len(known)} on the data of the newest run{out}: "
        f"{best.name}"
    )
    return best


def promote(
    run_id: str, thresholds: Thresholds, use: str, waivers: Mapping[str, str], registry: Registry, terminal: Terminal
) -> Promotion:
    """Judge a run's evidence and register its model as the candidate.

    Raises:
        GateError: a gate refuses; the reasons are tags of the run.
    """
    if unknown := set(waivers) - set(gates.GATES):
        raise ConfigError(f"--waive {', '.join(sorted(unknown))}: no such gate. Allowed: {', '.join(gates.GATES)}")
    may_be_promoted(run_id, registry.ready(terminal.warn), terminal)
    began = time.perf_counter()
    found, uri = evidence.read(run_id), ""
    if found.status == "FINISHED" and not found.missing and not found.broken:
        found, uri = _measured(found, waivers, terminal)
    judged = gates.judge(found, thresholds, use, waivers)
    show(judged, terminal)
    refused = [gate for gate in judged if gate.refuses]
    if refused or not uri:
        _refuse(run_id, judged, refused)
    passed = time.perf_counter()
    version = enter(registry, found, judged, use, uri, thresholds)
    spent = (
        f"evidence, packaging and gates {passed - began:.1f} s, register to alias {time.perf_counter() - passed:.1f} s"
    )
    terminal.say(f"{registry.name} version {version} is @candidate: models:/{registry.name}@candidate ({spent})")
    return Promotion(version, uri, judged)


def may_be_promoted(run_id: str, status: ModelStatus, terminal: Terminal) -> None:
    """The checks that cost nothing, before those that cost a minute.

    Raises:
        ConfigError: no such run, or it was deleted.
        GateError: its model was rolled back as bad, or its answers are not those that a version was made from.
    """
    run = query.run_of(run_id)
    if origin.run_state(run_id) == "deleted":
        raise ConfigError(origin.deleted(run_id))
    decided_anew = query.trained_by(run_id) != run_id
    for version in status.withdrawn_with(run_id, run.tags.get(WEIGHTS, "")):
        why = f"run {run_id} is the model of a bad version: {status.why_withdrawn(version)}"
        if version in status.withdrawn and not decided_anew:
            raise GateError(why)
        terminal.warn(why)
    for made in status.there.values():
        if made.run_id == run_id and (why := origin.overwritten(made, origin.ANSWERS)):
            raise GateError(f"{why}; train again and promote that run")


def enter(
    registry: Registry, found: Evidence, judged: Sequence[Gate], use: str, uri: str, thresholds: Thresholds
) -> str:
    """Register what has passed and make it the candidate; the version.

    Each step leaves what the next run of the same command takes up: the card, the version, the line of the history,
    the alias.
    """
    text = card.render(found, judged, use)
    made_from = origin.as_tag(_keep(found, judged, text, uri) | origin.digests(found.run_id))
    about = tags(found, judged, use) | {THRESHOLDS: thresholds.digest, FLOORS: thresholds.floors.model_dump_json()}
    about |= {origin.TAG: made_from} if made_from else {}
    status = registry.look()
    before = status.aliases["candidate"]
    if before and is_of(status.there[before], uri, about):
        return before  # an earlier promotion got as far as the history
    version = registry.register(uri, found.run_id, about, text)
    waived = [gate.name for gate in judged if gate.state == "waived"]
    reason = f"run {found.run_id} passed {len(judged) - len(waived)} of {len(judged)} gates for {use} use"
    reason += f"; waived: {', '.join(waived)}" if waived else ""
    registry.move("candidate", version, before, reason, _states(judged))
    return version


def _keep(found: Evidence, judged: Sequence[Gate], text: str, uri: str) -> dict[str, str]:
    """Keep card and answers beside the packaged model, card and what was measured on the run; the answers' digests."""
    measured = {
        "run": found.run_id, "robustness": dict(found.robustness), "package_difference": found.package_difference,
        "package_sha256": found.package_digest, "latency_ms": found.latency_ms, "memory_mib": found.memory_mib,
        "gates": [asdict(gate) | {"state": gate.state} for gate in judged],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        page, figures = Path(folder) / CARD, Path(folder) / "promotion.json"
        page.write_text(text, encoding="utf-8")
        figures.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        beside = Path(folder) / "beside"
        (beside / check.JUDGED).mkdir(parents=True)
        (beside / CARD).write_text(text, encoding="utf-8")
        written = origin.write_answers(found.run_id, beside / check.JUDGED)
        mlflow.MlflowClient().log_model_artifacts(uri.removeprefix("models:/"), str(beside))
        attached.keep(found.run_id, (page, figures), {})
    if _REFUSED in query.run_of(found.run_id).tags:  # of an earlier promotion, which these gates have overruled
        mlflow.MlflowClient().delete_tag(found.run_id, _REFUSED)
    return written


def _refuse(run_id: str, judged: Sequence[Gate], refused: Sequence[Gate]) -> NoReturn:
    reasons = [f"{gate.name}: {gate.figure}, wanted {gate.threshold} ({gate.sentence})" for gate in refused]
    attached.keep(run_id, (), {_REFUSED: "; ".join(reasons)})
    raise GateError(
        f"run {run_id} is not promoted, {len(refused)} of {len(judged)} gates refuse:\n"
        + "\n".join(f"- {reason}" for reason in reasons)
        + "\nFix the cause, or waive a gate: --waive GATE --reason TEXT --by NAME"
    )


def _measured(found: Evidence, waivers: Mapping[str, str], terminal: Terminal) -> tuple[Evidence, str]:
    """The evidence with what is measured at promotion: the packaged model, what it costs, and its robustness."""
    terminal.say("Packaging the model ...")
    uri = package.package(found.run_id)
    terminal.say("Loading the package in a process of its own, to compare its answers with the run's ...")
    checked = check.check(uri, found.run_id)
    found = replace(
        found, package_difference=checked.difference, package_problem=checked.reason, package_digest=checked.digest,
        latency_ms=min((one for one in (found.latency_ms, checked.latency_ms) if one is not None), default=None),
        memory_mib=checked.memory_mib,
    )  # fmt: skip
    terminal.say("Measuring on validation images what small disturbances cost ...")
    try:
        return replace(found, robustness=robustness.measure(found.run_id)), uri
    except ConfigError as error:
        if "robustness" not in waivers:
            terminal.warn(str(error))
        return found, uri


def tags(found: Evidence, judged: Sequence[Gate], use: str) -> dict[str, str]:
    """What is written on the version."""
    assert found.results is not None
    test = found.results.splits["test"].metrics
    figures = {name: test[name].value for name in _SHOWN} | {
        "latency_ms": found.latency_ms, "memory_mib": found.memory_mib, "checkpoint_mib": found.results.checkpoint_mib,
    }  # fmt: skip
    return {
        "fracture.run": found.run_id, "fracture.use": use, "fracture.commit": found.commit,
        "fracture.data_digest": found.results.data_digest, "fracture.test_digest": found.results.test_digest,
        "fracture.weights_sha256": found.results.weights_sha256, "fracture.licence": found.licence,
        "fracture.healthy": found.results.healthy or NONE,
        "fracture.gates": _states(judged), check.DIGEST: found.package_digest,
        "fracture.waived": "; ".join(f"{g.name}: {g.waived}" for g in judged if g.state == "waived") or "none",
        "fracture.promoted_by": who(), **{name: f"{value:.4f}" for name, value in figures.items() if value is not None},
    }  # fmt: skip


def _states(judged: Sequence[Gate]) -> str:
    return ", ".join(f"{gate.name} {gate.state}" for gate in judged)


def show(judged: Sequence[Gate], terminal: Terminal) -> None:
    """The gates as a table."""
    rows = [[gate.name, gate.state, gate.figure, gate.threshold, gate.note] for gate in judged]
    terminal.table("Gates", ["gate", "state", "figure", "threshold", ""], rows)
