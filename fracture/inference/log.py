"""What a server asks of a log of its answers."""

from collections.abc import Sequence
from typing import Protocol

from fracture.inference.predictor import Answer


class Log(Protocol):
    """Keeps answers; `fracture.monitoring.log.AnswerLog` is one."""

    def put(self, images: Sequence[bytes | None], answers: Sequence[Answer], seconds: float) -> None:
        """Keep the answers to some images; never waits and never raises."""

    def health(self) -> dict[str, object]:
        """``ok``, rows ``written``, ``waiting`` and ``lost``, and the ``problem`` in one sentence, empty for none."""


def figures(log: Log | None) -> str:
    """The log's health in the text format of Prometheus, empty without one."""
    if log is None:
        return ""
    known = log.health()
    rows = [("rows_total", "counter", known["written"]), ("lost_rows_total", "counter", known["lost"]),
            ("waiting_rows", "gauge", known["waiting"]), ("failing", "gauge", int(not known["ok"]))]  # fmt: skip
    return "".join(f"# TYPE fracture_log_{name} {kind}\nfracture_log_{name} {value}\n" for name, kind, value in rows)
