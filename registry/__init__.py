"""From a finished run to a deployed model: evidence, gates, candidate, champion; imports fracture, never tuning."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fracture.inference.predictor import Predictor


def load(name: str = "@champion") -> "Predictor":
    """Load a registered version: ``load().predict(x)`` answers, ``load().module`` is the torch module behind it.

    Args:
        name: ``@ALIAS`` or a version of fracture-classifier, or ``NAME@ALIAS`` or ``NAME/VERSION`` of another.

    Raises:
        ConfigError: no such version, or it was made for other preprocessing.
        GateError: it holds other weights than were promoted.
    """
    from registry import loading  # heavy imports only when something is loaded

    return loading.load(name)
