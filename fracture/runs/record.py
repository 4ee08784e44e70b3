"""config.json: what a run was told and what was resolved from it; an interrupted run goes on by it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from fracture.files import write_json
from fracture.models.weights import Weights
from fracture.training.execution import Plan


class Record(BaseModel):
    """The settings of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: TrainConfig
    plan: Plan
    data_root: str = ""
    data_digest: str
    healthy: str = ""  # the class, or none; empty in a run from before this was recorded
    weights_origin: str
    weights_path: Path | None
    weights_description: str
    weights_license: str
    weights_changes: tuple[str, ...] = ()
    continues: str = ""  # id of the run that this one trains longer

    def weights(self, *, begun: bool) -> Weights:
        """What the run started from; once it has ``begun``, its state holds the weights and no file is needed."""
        return Weights(
            self.weights_origin, None if begun else self.weights_path, self.weights_description, self.weights_license,
            changes=self.weights_changes,
        )  # fmt: skip


def replan(folder: Path, plan: Plan) -> None:
    """Note that the run whose state lies in ``folder`` goes on under another plan."""
    path = folder / "config.json"
    if path.is_file():
        record = Record.model_validate_json(path.read_bytes())
        write_record(folder, record.model_copy(update={"plan": plan}))


def write_record(folder: Path, record: Record) -> None:
    """Keep the settings of a run beside its state."""
    write_json(folder / "config.json", record.model_dump(mode="json"))


def moved(record: Record, data: str) -> Record:
    """The settings of a run whose data lies at ``data`` now; empty for where it lay."""
    if not data:
        return record
    return record.model_copy(update={"config": record.config.model_copy(update={"data": data})})


def read_record(folder: Path, run_id: str) -> Record:
    """The settings of an unfinished run whose state lies in ``folder``.

    Raises:
        ConfigError: the state is not there, or of another version.
    """
    try:
        return Record.model_validate_json((folder / "config.json").read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"resume={run_id}: its training state is not in {folder}. A run can be resumed only on its own machine, "
            "and not if it failed before its first step or its state was deleted; start a new one."
        ) from error
    except ValidationError as error:
        raise ConfigError(f"resume={run_id}: {folder}/config.json is of another version: {error}") from error
