"""What a server asks of a log of its answers."""

from collections.abc import Sequence
from typing import Protocol

from fracture.inference.predictor import Answer


class Log(Protocol):
    """Keeps answers; `fracture.monitoring.log.AnswerLog` is one."""

    def put(self, images: Sequence[bytes | None], answers: Sequence[Answer], seconds: float) -> None:
        """Keep the answers to some images; never waits and never raises."""

    def correct(self, image: str, label: str, by: str) -> str:
        """Keep what a reader says that an image is; what went wrong in one sentence, empty where it is stored."""

    def health(self) -> dict[str, object]:
        """``ok``, rows ``written``, ``waiting`` and ``lost``, and the ``problem`` in one sentence, empty for none."""
