"""What a server asks of a log of its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fracture.inference.predictor import Answer


@dataclass(frozen=True)
class Served:
    """The model that answers.

    Attributes:
        name: of the registered model, id of the run, or name of the file.
        version: of the registered model, else empty.
        weights: digest of its weights.
    """

    name: str
    version: str
    weights: str


class Log(Protocol):
    """Keeps answers; `fracture.monitoring.log.AnswerLog` is one."""

    def put(
        self, images: Sequence[bytes | None], answers: Sequence[Answer], seconds: float, *, served: Served | None
    ) -> None:
        """Keep the answers of ``served`` to some images; never waits and never raises."""

    def correct(self, image: str, label: str, by: str, served: Served) -> str:
        """Keep what a reader says that an image is, to which ``served`` has answered.

        Returns:
            What went wrong in one sentence, empty where it is stored.
        """

    def corrected(self, image: str) -> Mapping[str, str]:
        """The last that a reader has said of an image: ``label``, ``by`` and ``time``; empty where nobody did.

        Raises:
            Exception: the place where it is kept cannot be read.
        """

    def health(self) -> dict[str, object]:
        """``ok``, rows ``written``, ``waiting`` and ``lost``, and the ``problem`` in one sentence, empty for none."""
