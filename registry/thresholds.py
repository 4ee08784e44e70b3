"""The thresholds that gates hold evidence against, read from one file."""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture.errors import ConfigError
from fracture.failures import unreadable
from fracture.rules import RuleText

DEFAULT = Path(__file__).with_name("thresholds.toml")
ANY = "any"
DEMO = Path(__file__).with_name("thresholds-demo.toml")


class Floors(BaseModel):
    """Least values, held against the lower end of an interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    balanced_accuracy: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    any_fracture_sensitivity: float = Field(ge=0, le=1)


class Ceilings(BaseModel):
    """Largest values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ece_debiased: float = Field(ge=0)
    balanced_accuracy: float = Field(ge=0)
    robustness_drop: float = Field(ge=0)
    slice_drop: float = Field(ge=0)
    latency_ms: float = Field(gt=0)
    checkpoint_mib: float = Field(gt=0)
    memory_mib: float = Field(gt=0)
    test_uses: int = Field(ge=0)


Judged = Literal["test", "out_of_fold"]  # the images that a model's figures are of


class Promises(BaseModel):
    """What the model's own thresholds must have been chosen for; a stricter choice will do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operating: RuleText | Literal["any"] = "any"
    refer_error: Annotated[float, Field(gt=0, lt=0.5)] | Literal["any"] = "any"
    kept: bool = Field(
        False, description="whether what was wanted in training must be had, and no figure speak against it"
    )


class Thresholds(BaseModel):
    """All of them; ``licences`` lists by use which licences of initial weights are allowed, ``*`` for any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    floors: Floors
    ceilings: Ceilings
    promises: Promises = Promises()
    judged: Judged = "test"
    licences: dict[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """Of all values, so that a version tells what it was held against."""
        later = {"promises": Promises(), "judged": "test"}  # a file from before there were any keeps its digest
        text = self.model_dump_json(exclude={name for name, usual in later.items() if getattr(self, name) == usual})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def wanting(self, operating: str, refer_error: str) -> "Thresholds":
        """The same with what a command wants of the decisions; empty texts leave what the file says.

        Raises:
            ConfigError: no such rule or error.
        """
        given = {"operating": operating, "refer_error": refer_error}
        given = {name: value for name, value in given.items() if value}
        if not given:
            return self
        try:
            promises = Promises.model_validate(self.promises.model_dump() | given | {"kept": True})
        except ValidationError as error:
            raise ConfigError("; ".join(f"{p['loc'][0]}={p['input']}: {p['msg']}" for p in error.errors())) from error
        return self.model_copy(update={"promises": promises})


def read(path: Path) -> Thresholds:
    """Read a file of thresholds.

    Raises:
        ConfigError: missing, not TOML, or a threshold is missing, unknown or out of range.
    """
    try:
        return Thresholds.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        allowed = "Allowed: default, demo, or a TOML file of thresholds"
        raise ConfigError(f"--thresholds {path}: cannot be read: {unreadable(error)}. {allowed}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False))
        raise ConfigError(f"{path}: {problems}\n{DEFAULT.name} beside the code shows all thresholds.") from error
