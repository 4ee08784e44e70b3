"""Promotion: the best run of the experiment passes the gates and becomes the candidate, or is refused with reasons."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fracture.errors import ConfigError, GateError
from fracture.progress import Terminal
from fracture.tracking import attached, query
from fracture.tracking.query import Found
from registry import card, evidence, gates, package, robustness
from registry.evidence import Evidence
from registry.gates import Gate
from registry.thresholds import Thresholds
from registry.versions import Registry

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


def best_run(metric: str) -> Found:
    """The finished training run of the experiment with the highest validation metric among those of the newest data.

    Raises:
        ConfigError: there is none, or none with that metric.
    """
    runs = query.finished(["train"])
    if not runs:
        raise ConfigError("no finished training run in this experiment; `fracture train` makes one")
    digest = runs[0].tags.get("fracture.data_digest")
    known = [run for run in runs if run.tags.get("fracture.data_digest") == digest and f"best_{metric}" in run.metrics]
    if not known:
        names = sorted(
            {name.removeprefix("best_") for run in runs for name in run.metrics if name.startswith("best_val")}
        )
        raise ConfigError(f"metric={metric}: no run has it. Allowed: {', '.join(names) or 'none'}")
    lower = metric == "val_loss"
    return min(known, key=lambda run: run.metrics[f"best_{metric}"] * (1 if lower else -1))


def promote(
    run_id: str, thresholds: Thresholds, use: str, waivers: Mapping[str, str], registry: Registry, terminal: Terminal
) -> Promotion:
    """Judge a run's evidence and register its model as the candidate.

    Raises:
        GateError: a gate refuses; the reasons are tags of the run.
    """
    if unknown := set(waivers) - set(gates.GATES):
        raise ConfigError(f"--waive {', '.join(sorted(unknown))}: no such gate. Allowed: {', '.join(gates.GATES)}")
    found = evidence.read(run_id)
    first = gates.judge(found, thresholds, use, waivers)
    uri = ""
    if found.status == "FINISHED" and not found.missing and not found.broken:
        found, uri = _measured(found, waivers, terminal)
        first = gates.judge(found, thresholds, use, waivers)
    show(first, terminal)
    refused = [gate for gate in first if gate.refuses]
    if refused or not uri:
        reasons = [f"{gate.name}: {gate.figure}, wanted {gate.threshold} ({gate.sentence})" for gate in refused]
        attached.keep(run_id, (), {"fracture.refused": "; ".join(reasons)})
        raise GateError(
            f"run {run_id} is not promoted, {len(refused)} of {len(first)} gates refuse:\n"
            + "\n".join(f"- {reason}" for reason in reasons)
            + "\nMend it, or waive a gate: --waive GATE --reason TEXT --by NAME"
        )
    text = card.render(found, first, use)
    version = registry.register(uri, run_id, tags(found, first, use), text)
    registry.move({"candidate": version}, "candidate", f"run {run_id} passed {len(first)} gates for {use} use")
    terminal.say(f"{registry.name} version {version} is @candidate: models:/{registry.name}@candidate")
    return Promotion(version, uri, first)


def _measured(found: Evidence, waivers: Mapping[str, str], terminal: Terminal) -> tuple[Evidence, str]:
    """The evidence with what is measured at promotion: the packaged model, and its robustness."""
    terminal.say("Packaging the model and asking it in a process of its own ...")
    uri = package.package(found.run_id)
    checked = package.check(uri, found.run_id)
    found = replace(found, package_difference=checked.difference, package_problem=checked.reason)
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
    return {
        "fracture.run": found.run_id, "fracture.use": use, "fracture.commit": found.commit,
        "fracture.data_digest": found.results.data_digest, "fracture.test_digest": found.results.test_digest,
        "fracture.weights_sha256": found.results.weights_sha256, "fracture.licence": found.licence,
        "fracture.gates": ", ".join(f"{gate.name} {gate.state}" for gate in judged),
        "fracture.waived": "; ".join(f"{gate.name}: {gate.waived}" for gate in judged if gate.waived) or "none",
        "fracture.promoted_by": os.environ.get("USER", "unknown"),
        **{name: f"{test[name].value:.4f}" for name in _SHOWN if test[name].value is not None},
    }  # fmt: skip


def show(judged: Sequence[Gate], terminal: Terminal) -> None:
    """The gates as a table."""
    rows = [[gate.name, gate.state, gate.figure, gate.threshold, gate.waived or gate.sentence] for gate in judged]
    terminal.table("Gates", ["gate", "state", "figure", "threshold", ""], rows)
