"""A run in words: the markdown that MLflow shows as its description."""

from fracture.evidence import Estimate, Results


def summary(results: Results, plan: dict[str, str], license_: str) -> str:
    """A page about a finished run.

    Args:
        results: of the run.
        plan: what was chosen for the machine, by name.
        license_: of the weights that training started from.
    """
    test = results.splits["test"]
    lines = [
        _warnings(results),
        f"**{results.model}** on *{results.data}*: "
        f"macro-F1 {_shown(test.metrics['macro_f1'])}, balanced accuracy {_shown(test.metrics['balanced_accuracy'])} "
        f"on {test.n} test images (95% intervals).",
        "",
        _per_class(results),
        "",
        _confusion(results),
        "",
        f"Selected by {results.select_metric} at epoch {results.best_epoch} of {results.epochs}"
        f"{' (stopped early)' if results.stopped_early else ''}; {results.seconds:,.0f} s. "
        f"Initial weights: {results.weights_origin} (licence: {license_}).",
        "",
        f"Healthy class: {results.healthy or 'none is known, so there is no sensitivity for fractures'}.",
        "",
        "Plan: " + ", ".join(f"{name} {value}" for name, value in plan.items()) + ".",
        f"Data `{results.data_digest}`, test split `{results.test_digest}`, weights `{results.weights_sha256[:16]}`.",
        "",
        "Research software, not a medical device.",
    ]
    return "\n".join(lines).strip()


def _warnings(results: Results) -> str:
    notes = []
    if results.synthetic:
        notes.append("> **Synthetic images**: rendered, not radiographs. The scores have no medical meaning.")
    if results.weights_origin == "random":
        notes.append("> **Random initial weights**: scores near chance are to be expected on small data.")
    return "\n>\n".join(notes) + "\n" if notes else ""


def _per_class(results: Results) -> str:
    test = results.splits["test"]
    head = "| class | n | precision | recall | F1 |\n|---|---|---|---|---|"
    rows = [
        f"| {name} | {test.counts[name]} | "
        + " | ".join(_shown(test.metrics[f"{m}_{name}"]) for m in ("precision", "recall", "f1"))
        + " |"
        for name in results.classes
    ]
    return "\n".join([head, *rows])


def _confusion(results: Results) -> str:
    matrix = results.splits["test"].confusion
    head = "| true \\ predicted | " + " | ".join(results.classes) + " |\n|" + "---|" * (len(results.classes) + 1)
    rows = [
        f"| {name} | " + " | ".join(map(str, line)) + " |" for name, line in zip(results.classes, matrix, strict=True)
    ]
    return "\n".join([head, *rows])


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"none ({estimate.reason})"
    return f"{estimate.value:z.3f} ({estimate.low:z.3f} to {estimate.high:z.3f})"
