"""The thresholds that gates hold evidence against, read from one file."""

import hashlib
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture.errors import ConfigError

DEFAULT = Path(__file__).with_name("thresholds.toml")
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


class Thresholds(BaseModel):
    """All of them; ``licences`` lists by use which licences of first weights are allowed, ``*`` for any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    floors: Floors
    ceilings: Ceilings
    licences: dict[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """Of all values, so that a version tells what it was held against."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def read(path: Path) -> Thresholds:
    """Read a file of thresholds.

    Raises:
        ConfigError: missing, not TOML, or a threshold is missing, unknown or out of range.
    """
    try:
        return Thresholds.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False))
        raise ConfigError(f"{path}: {problems}\n{DEFAULT.name} beside the code shows all thresholds.") from error
