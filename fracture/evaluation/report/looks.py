"""Whether the model looks at the bone, answered in a sentence from the controls."""

from fracture.evidence import Controls, Estimate
from fracture.evidence.hits import Hits

_MUCH = 0.5  # of what is above chance with the whole image, kept without its centre


def looks_at_the_bone(controls: Controls, classes: int) -> str:
    """The answer, with the figures that it rests on: the balanced accuracy with the whole image and without its centre.

    Args:
        controls: of the run.
        classes: how many there are; chance is one of them.
    """
    name = "balanced_accuracy"
    whole, without, alone = controls.whole[name], controls.centre_hidden[name], controls.border_hidden[name]
    chance = 1 / classes
    if whole.value is None or without.value is None or whole.low is None or without.low is None:
        return f"Not known: {whole.reason or without.reason or 'no figure has an interval'}."
    figures = (
        f"balanced accuracy {_with_interval(whole)} with the whole image, {_with_interval(without)} with its centre "
        f"hidden, {chance:.2f} by chance, {controls.n} images"
    )
    if whole.low <= chance:
        return f"Not known: even with the whole image it is not clearly better than chance ({figures})."
    if without.low > chance:
        return f"Not only: with the centre hidden it still does better than chance ({figures})."
    if without.value - chance > _MUCH * (whole.value - chance):
        return f"Not clear: too few images to know how it does without the centre ({figures})."
    if alone.low is None or alone.low <= chance:
        return (
            f"Not clear: with the centre hidden it falls to chance, but with everything else hidden it does too "
            f"({figures})."
        )
    return f"Nothing speaks against it: with the centre hidden it falls to chance ({figures})."


def maps_hit_the_fracture(hits: Hits) -> str:
    """Whether the brightest place of a map lies in a box more often than by either control."""
    found = hits.pointing["model"]
    if found.value is None:
        return f"Not known: {found.reason}."
    beaten = [name for name in ("random_weights", "centre") if _above_zero(hits.pointing.get(f"model - {name}"))]
    share = f"the brightest place lies in a box in {_with_interval(found)} of the images"
    if len(beaten) == 2:
        return f"Yes, more often than random weights and the centre of the image would: {share}."
    if beaten:
        other = "the centre of the image" if beaten == ["random_weights"] else "random weights"
        return f"Not clearly: {share}, not clearly more often than by {other}."
    return f"No: {share}, which random weights or the centre of the image may do as well."


def _above_zero(found: Estimate | None) -> bool:
    return found is not None and found.low is not None and found.low > 0


def _with_interval(found: Estimate) -> str:
    ends = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.2f}{ends}"
