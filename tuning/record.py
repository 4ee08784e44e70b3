"""What a study keeps of itself: with it, any worker that knows the study's name and storage can join."""

import hashlib
import json

import optuna
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture.config import TrainConfig
from fracture.errors import ConfigError
from tuning.budget import Verdict
from tuning.config import TuneConfig
from tuning.space import Space
from tuning.task import SEEN, Task

_KEY = "fracture"
_IN_THE_NAME = ("pruner", "accumulate")  # settings of a study that change what it finds, beside its space and its task


class StudyRecord(BaseModel):
    """The settings of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tuning: TuneConfig = Field(description="its settings, as first given")
    config: TrainConfig = Field(description="what its trials share")
    space: Space = Field(description="what is searched")
    verdicts: tuple[Verdict, ...] = Field(description="each batch size, and why it is in the space or not")
    data: dict[str, str] = Field(description="digest of each split that is seen")
    weights: str = Field(description="origin of the initial weights")
    task: str = Field(description="digest of all that trials share")
    run: str = Field("", description="id of the study's own MLflow run")


def name_of(tuning: TuneConfig, task: Task, space: Space) -> str:
    """The study's name: with a digest of the space and of everything fixed, so that a changed one is another study."""
    kept = {name: getattr(tuning, name) for name in _IN_THE_NAME}
    parts = [task.digest(), task.limit_gib, space.model_dump(mode="json"), kept]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    prefix = task.config.model.split(".")[0] if tuning.study == "auto" else tuning.study
    return f"{prefix}-{digest}"


def record_of(tuning: TuneConfig, task: Task, space: Space, verdicts: list[Verdict]) -> StudyRecord:
    """The record of a new study."""
    digests = {name: task.dataset.manifest.digest(name) for name in SEEN}
    return StudyRecord(
        tuning=tuning,
        config=task.config,
        space=space,
        verdicts=tuple(verdicts),
        data=digests,
        weights=task.weights.origin,
        task=task.digest(),
    )


def write(study: optuna.Study, record: StudyRecord) -> None:
    """Keep the record in the study."""
    study.set_user_attr(_KEY, record.model_dump(mode="json"))


def read(study: optuna.Study) -> StudyRecord | None:
    """The study's record, None before it has one.

    Raises:
        ConfigError: another version of this project wrote it.
    """
    kept = study.user_attrs.get(_KEY)
    if kept is None:
        return None
    try:
        return StudyRecord.model_validate(kept)
    except ValidationError as error:
        raise ConfigError(f"study {study.study_name}: was begun by another version of this project: {error}") from error
