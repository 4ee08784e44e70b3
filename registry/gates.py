"""The gates: pure functions of a run's evidence, each with its figure, its threshold and one sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fracture.evaluation.intervals import believable, wilson_low
from fracture.evidence import Estimate, FoldMeanResults
from fracture.evidence.healthy import NO_HEALTHY_CLASS, suspicion
from fracture.tables import counted
from registry import promises
from registry.evidence import Evidence
from registry.thresholds import Thresholds

TOLERANCE = 1e-4  # of a logit: the same weights in another process
_SLICE = 30  # images from which a slice is judged


@dataclass(frozen=True)
class Gate:
    """What one gate says.

    Attributes:
        name: as ``--waive`` spells it.
        passed: whether the evidence suffices.
        figure, threshold: what was held against what, as text.
        sentence: for people.
        waived: who waived it and why, empty where nobody did.
    """

    name: str
    passed: bool
    figure: str
    threshold: str
    sentence: str
    waived: str = ""

    @property
    def state(self) -> str:
        """Passed, failed or waived."""
        return "passed" if self.passed else "waived" if self.waived else "failed"

    @property
    def note(self) -> str:
        """Who waived it and why where that counts, else the sentence."""
        return self.waived if self.state == "waived" else self.sentence

    @property
    def refuses(self) -> bool:
        """Whether it prevents promotion."""
        return self.state == "failed"


def judge(evidence: Evidence, thresholds: Thresholds, use: str, waivers: Mapping[str, str] | None = None) -> list[Gate]:
    """What every gate says, in order; those that need results say so where there are none.

    Args:
        evidence: of the run.
        thresholds: to hold it against.
        use: research or commercial.
        waivers: by gate, who waived it and why.
    """
    found = [gate(evidence, thresholds, use) for gate in GATES.values()]
    waived = waivers or {}
    return [replace(gate, waived=waived.get(gate.name, "")) for gate in found]


def finished(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The run is over."""
    ok = e.status == "FINISHED"
    return Gate("finished", ok, e.status, "FINISHED", f"the run {'ended' if ok else 'has not ended'} as it should")


def whole(e: Evidence, t: Thresholds, use: str) -> Gate:
    """All artifacts are there, the weights are those of the run and load without pickles."""
    problems = [*(f"{name} is missing" for name in e.missing), *e.broken]
    text = "; ".join(problems) or "all artifacts are there; the weights have the run's digest and load as plain tensors"
    return Gate("whole", not problems, f"{len(problems)} problems", "0", text)


def digests(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Manifest, predictions and results are of the same data and splits."""
    ok = e.results is not None and not e.disagreements
    agree = "manifest, predictions and results are of the same data, and say the same" if ok else "no results"
    text = "; ".join(e.disagreements) or agree
    return Gate("digests", ok, f"{len(e.disagreements)} problems" if e.results else "no results", "0", text)


def audit_clean(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Somebody has looked for leakage, and there is none."""
    ok = e.audit in ("clean", "confounded")
    leak = "the data leaks between splits" if e.audit == "leaking" else "the data was not checked for leakage"
    text = "the data was audited and does not leak between splits" if ok else leak
    return Gate("audit", ok, e.audit or "none", "clean", text)


def not_confounded(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The class cannot be told from the source."""
    if e.confounded is None:
        text = "it was not tested whether the class can be predicted from the source"
        return Gate("confounded", False, "unknown", "false", text)
    text = f"size, file format and border {'separate' if e.confounded else 'do not separate'} the classes"
    return Gate("confounded", not e.confounded, str(e.confounded).lower(), "false", text)


def judged_on(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The figures are of the kind of test that is named."""
    folds = isinstance(e.results, FoldMeanResults)
    found = "out_of_fold" if folds else "test"
    text = "tested on a test split that it has not learned from"
    if isinstance(e.results, FoldMeanResults):
        text = (
            f"the figures are those of {e.results.folds} heads, each judged on images that it had not learned from; "
            "their mean has learned from all images, and no image is left to test it"
        )
    if found != t.judged:
        text += f". `--judged {found}` accepts that"
    return Gate("judged", found == t.judged, found, t.judged, text)


def selection(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The test split chose nothing."""
    ok = all(one.startswith("val_") for one in e.selected_on.split("; "))
    text = f"the epoch was selected {'on validation alone' if ok else 'by something other than validation'}"
    return Gate("selection", ok, e.selected_on or "unknown", "val_*", text)


def packaged(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The packaged model, in a process of its own, answers like the run."""
    ok = not e.package_problem and e.package_difference is not None and e.package_difference <= TOLERANCE
    figure = "none" if e.package_difference is None else f"{e.package_difference:.1e}"
    text = f"the packaged model {'answers' if ok else 'does not answer'} as the run did"
    return Gate("packaged", ok, figure, f"{TOLERANCE:g}", e.package_problem or text)


def _floor(name: str, found: Estimate | None, least: float, what: str, *, share: bool = True) -> Gate:
    """Hold the lower end of an interval; of a ``share`` also Wilson's over groups: a bootstrap of few says too much."""
    if found is None or found.value is None or found.low is None:
        why = found.reason if found is not None else "not among the results"
        return Gate(name, least <= 0, "absent", f"{least:g}", f"{what}: {why}")
    low = min(found.low, wilson_low(found.value, found.groups)) if share else found.low
    basis = f"n = {found.n}, {counted(found.groups, 'group')}"
    text = f"{what}: {found.value:.3f}, its interval begins at {low:.3f} ({basis})"
    if doubted := least > 0 and not believable(found):
        text += f", which does not count: {found.caution}"
    return Gate(name, low >= least and not doubted, f"{low:.3f}", f">= {least:g}", text)


def _metric(e: Evidence, name: str) -> Estimate | None:
    return e.results.splits["test"].metrics.get(name) if e.results else None


def balanced(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Balanced accuracy is above its floor."""
    found, floor = _metric(e, "balanced_accuracy"), t.floors.balanced_accuracy
    return _floor("balanced_accuracy", found, floor, "balanced accuracy", share=False)


def recalls(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The worst class is above the floor of recall."""
    if e.results is None:
        return Gate("recall", False, "absent", f"{t.floors.recall:g}", "no results")
    each = [_floor("recall", _metric(e, f"recall_{c}"), t.floors.recall, f"recall of {c}") for c in e.results.classes]
    return min(each, key=lambda gate: (gate.passed, gate.figure))


def _no_healthy_class(classes: Sequence[str]) -> tuple[str, str]:
    """What to say of a model that knows no healthy class, and why it is not believed to have none."""
    why = suspicion(classes)
    missing = f"{NO_HEALTHY_CLASS}, so sensitivity was not measured: how many fractures the model misses is unknown"
    if not why:
        return f"{missing}. If one of {', '.join(classes)} is healthy, train again with healthy=CLASS", ""
    return f"{missing}, yet {why}. Train again with healthy=CLASS; where no class is healthy, waive this gate", why


def sensitivity(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Fractures are found; a model without a healthy class passes only where nothing says that it ought to have one."""
    floor = t.floors.any_fracture_sensitivity
    if e.results is not None and e.results.healthy is None:
        text, why = _no_healthy_class(e.results.classes)
        return Gate("sensitivity", not why or floor <= 0, "absent", f">= {floor:g}", text)
    return _floor("sensitivity", _metric(e, "any_fracture_sensitivity"), floor, "sensitivity for any fracture")


def calibrated(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Probabilities are honest enough."""
    found, most = _metric(e, "ece_debiased"), t.ceilings.ece_debiased
    value = found.value if found is not None else None
    ok = value is not None and value <= most
    figure = "absent" if value is None else f"{value:.3f}"
    return Gate("calibration", ok, figure, f"<= {most:g}", "calibration error beyond what chance would show")


def plausible(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The score is not too good to be true."""
    found, most = _metric(e, "balanced_accuracy"), t.ceilings.balanced_accuracy
    value = found.value if found is not None else None
    ok = value is not None and value <= most
    figure = "absent" if value is None else f"{value:.3f}"
    return Gate("believable", ok, figure, f"<= {most:g}", "a score above this on radiographs points to leakage")


def robust(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Small disturbances cost little."""
    most, before = t.ceilings.robustness_drop, e.robustness.get("none")
    if before is None:
        return Gate("robustness", False, "unmeasured", f"<= {most:g}", "robustness was not measured")
    drops = {name: before - value for name, value in e.robustness.items() if name != "none"}
    worst = max(drops, key=lambda name: drops[name])
    text = f"accuracy on validation falls from {before:.3f} by {drops[worst]:.3f} at worst, by {worst}"
    return Gate("robustness", drops[worst] <= most, f"{drops[worst]:.3f}", f"<= {most:g}", text)


def slices(e: Evidence, t: Thresholds, use: str) -> Gate:
    """No slice of the test split is far worse than all of it."""
    most, whole_split = t.ceilings.slice_drop, _metric(e, "accuracy")
    if e.results is None or whole_split is None or whole_split.value is None:
        return Gate("slices", False, "absent", f"<= {most:g}", "no results")
    drops = {
        f"{column}={value}": whole_split.value - accuracy
        for column, values in e.results.slices.items()
        for value, part in values.items()
        if part.n >= _SLICE and (accuracy := part.metrics["accuracy"].value) is not None
    }
    if not drops:
        return Gate("slices", True, "none", f"<= {most:g}", f"no slice of {_SLICE} images or more to judge")
    worst = max(drops, key=lambda name: drops[name])
    return Gate("slices", drops[worst] <= most, f"{drops[worst]:.3f}", f"<= {most:g}", f"the worst slice is {worst}")


def budgets(e: Evidence, t: Thresholds, use: str) -> Gate:
    """One image is answered in time, and neither the weights nor the process are too large."""
    most = t.ceilings
    held = [
        (e.latency_ms, most.latency_ms, "ms"),
        (e.results.checkpoint_mib if e.results else None, most.checkpoint_mib, "MiB of weights"),
        (e.memory_mib, most.memory_mib, "MiB of memory"),
    ]
    ok = all(value is not None and value <= limit for value, limit, _ in held)
    figure = ", ".join("unmeasured" if value is None else f"{value:.1f} {unit}" for value, _, unit in held)
    allowed = ", ".join(f"<= {limit:g} {unit}" for _, limit, unit in held)
    text = "time of one image through the model, size of its weights, memory of a process that answers"
    return Gate("budgets", ok, figure, allowed, text)


def licensed(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The licence of the initial weights allows the use."""
    allowed = t.licences.get(use, ())
    stated = {one.lower() for one in e.licence.split("; ")}  # those of an ensemble's members, once each
    ok = "*" in allowed or stated <= {name.lower() for name in allowed}
    listed = ", ".join(allowed) or "none"
    return Gate("licence", ok, e.licence or "unknown", listed, f"the initial weights' licence against {use} use")


def test_is_fresh(e: Evidence, t: Thresholds, use: str) -> Gate:
    """The test split has not been used too often."""
    most = t.ceilings.test_uses
    text = "finished runs evaluated on this test split: each one makes the best result less reliable"
    return Gate("test_uses", e.test_uses <= most, str(e.test_uses), f"<= {most}", text)


def card_complete(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Nothing that a reader of the model card must know is unknown."""
    text = "the model card would be incomplete" if e.unknown else "the model card is complete"
    return Gate("card", not e.unknown, ", ".join(e.unknown) or "complete", "complete", text)


def promised(e: Evidence, t: Thresholds, use: str) -> Gate:
    """Thresholds were chosen for what is wanted, and no figure speaks against what they promise."""
    wanted = t.promises
    wanted_for = f"operating {wanted.operating}, refer_error {wanted.refer_error}" + (", kept" if wanted.kept else "")
    if e.results is None:
        return Gate("promises", False, "absent", wanted_for, "no results")
    wrong = promises.problems(e.results, wanted)
    found = e.results.decisions
    basis = f"fitted on {found.basis}" if found else "what they were fitted on was not recorded"
    text = "; ".join(wrong) or f"{basis}; nothing speaks against it"
    return Gate("promises", not wrong, promises.figure(e.results), wanted_for, text)


GATES: dict[str, Callable[[Evidence, Thresholds, str], Gate]] = {
    "finished": finished, "whole": whole, "digests": digests, "audit": audit_clean, "confounded": not_confounded,
    "selection": selection, "judged": judged_on, "packaged": packaged, "balanced_accuracy": balanced, "recall": recalls,
    "sensitivity": sensitivity, "promises": promised, "calibration": calibrated, "believable": plausible,
    "robustness": robust, "slices": slices, "budgets": budgets, "licence": licensed, "test_uses": test_is_fresh,
    "card": card_complete,
}  # fmt: skip
