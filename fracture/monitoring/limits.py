"""From when on a difference is drift, read from one file."""

import hashlib
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture.errors import ConfigError
from fracture.failures import unreadable

DEFAULT = Path(__file__).with_name("thresholds.toml")
_FIXED = ConfigDict(frozen=True, extra="forbid")


class Probe(BaseModel):
    """Of the images."""

    model_config = _FIXED

    auc: float = Field(ge=0.5, le=1)
    unlike: float = Field(ge=0, le=1)


class Answers(BaseModel):
    """Of what was said of them."""

    model_config = _FIXED

    labels: float = Field(ge=0, le=1)
    referred: float = Field(ge=0, le=1)
    confidence: float = Field(ge=0, le=1)
    errors: float = Field(ge=0, le=1)
    repeated: float = Field(ge=0, le=1)


class Power(BaseModel):
    """How much must be seen, and how surely."""

    model_config = _FIXED

    auc: float = Field(gt=0.5, lt=1)
    wanted: float = Field(gt=0, lt=1)


class Limits(BaseModel):
    """All of them; thresholds.toml says what each one is."""

    model_config = _FIXED

    probe: Probe
    answers: Answers
    power: Power

    @property
    def digest(self) -> str:
        """Of all values."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def read(path: Path = DEFAULT) -> Limits:
    """Read a file of thresholds.

    Raises:
        ConfigError: missing, not TOML, or a threshold is missing, unknown or out of range.
    """
    try:
        return Limits.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        allowed = "Allowed: default, or a TOML file of thresholds"
        raise ConfigError(f"--thresholds {path}: cannot be read: {unreadable(error)}. {allowed}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False))
        raise ConfigError(f"{path}: {problems}\n{DEFAULT} shows all thresholds.") from error
