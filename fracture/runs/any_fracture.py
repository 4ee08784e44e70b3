"""Labels that say fracture or not, for a model that knows kinds of fracture: only that is judged."""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from fracture.evidence import Calibration, Referral
from fracture.evidence.decisions import SENSITIVITY, SPECIFICITY
from fracture.evidence.healthy import healthy_names, means_fracture
from fracture.models.checkpoint import Sidecar
from fracture.models.joined import Joined
from fracture.runs.target import Target

NOTES = {  # of the results, in place of what was decided about the model's own classes
    "calibration": Calibration(note="that of training is already in the answers"),
    "referral": Referral(refer_below=0.0, note="it was fitted for the model's own classes, which the labels lack"),
}


class Binary(NamedTuple):
    """The two classes of such labels, and the model's classes that count as a fracture."""

    healthy: str
    fracture: str
    kinds: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the answers."""
        return tuple(sorted((self.healthy, self.fracture)))


def binary_labels(sidecar: Sidecar, labels: Collection[str]) -> Binary | None:
    """The classes of labels that say fracture or not, where the model knows kinds of fracture; else None.

    The healthy one has the model's name for it, or another that means healthy.
    """
    fractures = [name for name in labels if means_fracture(name)]
    named_so = any(map(means_fracture, sidecar.classes))  # one of its kinds, which the labels may mean
    if sidecar.healthy is None or len(sidecar.classes) < 3 or named_so or len(fractures) != 1:
        return None
    others = [name for name in labels if name not in fractures] or [sidecar.healthy]
    strange = [name for name in others if name not in sidecar.classes]
    if others == [sidecar.healthy] or (len(others) == 1 and healthy_names([*strange, *fractures]) == others):
        kinds = tuple(name for name in sidecar.classes if name != sidecar.healthy)
        return Binary(others[0], fractures[0], kinds)
    return None


def sentence(sidecar: Sidecar, binary: Binary) -> str:
    """What a person is told first."""
    renamed = "" if binary.healthy == sidecar.healthy else f"; {binary.healthy} is taken for {sidecar.healthy}"
    return (
        "These labels say fracture or not, not which kind: only that is judged. "
        f"Counted as {binary.fracture}: {', '.join(binary.kinds)}{renamed}."
    )


def joined(target: Target, binary: Binary) -> Target:
    """The model as one of two classes: its probability of any fracture and its threshold, without referral and sets."""
    sidecar, known = target.sidecar, target.sidecar.decisions
    own = {binary.healthy: [str(sidecar.healthy)], binary.fracture: binary.kinds}
    parts = [[sidecar.classes.index(name) for name in own[one]] for one in binary.classes]
    if known is not None:
        expected = {name: one for name, one in known.expected.items() if name in (SENSITIVITY, SPECIFICITY)}
        known = known.model_copy(update={"expected": expected, "unmet": (), "sets": None})
    update = {
        "classes": binary.classes, "healthy": binary.healthy, "temperature": 1.0, "refer_below": 0.0,
        "decisions": known,
    }  # fmt: skip
    model = Joined(target.model, parts, sidecar.temperature).eval()
    return replace(target, model=model, sidecar=sidecar.model_copy(update=update))
