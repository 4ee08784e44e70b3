"""The final model: the one that is trained with a study's best values, below the study's run."""

from collections.abc import Iterable

from fracture.config import TrainConfig, as_text
from fracture.runs.resume import can_go_on, resume
from fracture.runs.session import Session, train
from fracture.tracking import query


def train_best(best: TrainConfig, names: Iterable[str], session: Session) -> None:
    """Train it, unless an earlier call has; one that was interrupted goes on.

    Args:
        best: the configuration.
        names: the settings that were searched, by whose values an earlier run is known.
        session: whose parent is the study's run.

    Raises:
        FractureError: see `fracture.errors`.
    """
    assert session.parent is not None
    text = as_text(best)
    earlier = next(
        (run for run in query.children(session.parent, "train") if all(run.params.get(n) == text[n] for n in names)),
        None,
    )
    if earlier is not None and earlier.status == "FINISHED":
        session.terminal.say(f"The final model has been trained before: run {earlier.id}")
        return
    session.terminal.say("\nTraining the final model with the best values", style="bold")
    if earlier is not None and can_go_on(earlier.id):
        resume(earlier.id, session)
    else:
        train(best, session)
