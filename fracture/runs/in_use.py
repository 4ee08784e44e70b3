"""What people said of a registered version in use, held against the floors that it was promoted above."""

from fracture.errors import ConfigError
from fracture.monitoring import use
from fracture.monitoring.checks import Check
from fracture.monitoring.record import Record
from fracture.monitoring.use import FLOORS, TAG
from fracture.tracking import query


def tags_of(row: Record) -> dict[str, str] | None:
    """The tags of the registered version that answered; None where this registry has another model by that name."""
    tags = query.tags_of_version(row.model, row.version) if row.version else {}
    return tags if tags.get("fracture.weights_sha256", row.weights) == row.weights else None


def in_use(row: Record, log: str) -> Check:
    """What is known of the model of a row of a log in use, held against the floors that it was promoted above."""
    title = "Is it still right often enough, by the labels that came back?"
    tags = tags_of(row) or {}
    if TAG not in tags or FLOORS not in tags:
        return Check("in use", title, "unknown", f"no labels yet; `fracture feedback {log}` chooses answers to check")
    try:
        low = use.read(tags[TAG]).below(use.floors_of(tags[FLOORS]))
    except ConfigError as error:
        return Check("in use", title, "unknown", str(error))
    return Check("in use", title, "drift" if low else "ok", "; ".join(low) or "no figure is below its floor")
