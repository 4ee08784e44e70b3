"""A saved model: a plain state dict (``.pth``) and a JSON sidecar with what is needed to build it again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from fracture.data.images import PREPROCESSING_VERSION
from fracture.errors import ConfigError
from fracture.evidence import Calibration, Decided, OperatingPoint, Referral
from fracture.evidence.healthy import completed
from fracture.evidence.verdict import Rule
from fracture.files import replacing
from fracture.models import backbones
from fracture.models.ensemble import Ensemble, Mean, Member, Side, Std, Temperature

SAME_PREPROCESSING = frozenset({1, 2, 3})  # what changed are files that were decoded wrongly; older models go on


class Sidecar(BaseModel):
    """What the JSON file beside a ``.pth`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    model: str = Field(description="timm's name with its tag; of an ensemble the names of its members")
    members: tuple[Member, ...] = Field((), description="of an ensemble: its networks; empty: a single model")
    classes: tuple[str, ...] = Field(description="class names in the order of the outputs")
    healthy: str | None = Field(
        None, description="the class without a fracture; every other one counts as a fracture; null: none is known"
    )
    image_size: Side = Field(description="side of the letterboxed square in pixels")
    scales: tuple[float, ...] = Field((), description="sides that a pyramid head reads; empty: the backbone's own head")
    mean: Mean = Field(description="subtracted per channel from pixels in 0 to 1")
    std: Std = Field(description="divided by per channel")
    preprocessing_version: int = Field(PREPROCESSING_VERSION, description="of decoding and letterboxing")
    parameters: int = Field(description="number of parameters")
    weights_sha256: str = Field(description="digest of names and values of all tensors")
    epoch: int = Field(description="the epoch it was chosen at, from 1")
    synthetic: bool = Field(description="trained on rendered images: no medical meaning at all")
    license: str = Field(description="of the weights that training started from")
    temperature: Temperature = Field(1.0, description="logits are divided by it before the softmax")
    fracture_threshold: float | None = Field(
        None, description="a fracture is reported from this calibrated probability of any fracture on"
    )
    refer_below: float | None = Field(
        None, description="a person must look below this calibrated probability of the predicted class; null: always"
    )
    decided: str = Field("", description="where the three above come from; empty: nowhere, they are not to be used")
    decisions: Decided | None = Field(
        None, description="what they rest on, what was wanted and what is to be expected; null: before it was recorded"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_before(cls, values: Any) -> Any:
        return completed(values)

    @property
    def rule(self) -> Rule:
        """What one image is decided by."""
        sets = self.decisions.sets if self.decisions else None
        return Rule(self.classes, self.healthy, self.fracture_threshold, self.refer_below, sets)

    def decided_by(
        self, calibration: Calibration, point: OperatingPoint, referral: Referral, decided: Decided, healthy: str | None
    ) -> "Sidecar":
        """The same with what was decided, where ``healthy`` was taken for healthy."""
        notes = [calibration.note, point.note or point.rule, referral.note, *decided.promises()]
        update = {
            "healthy": healthy,
            "temperature": calibration.temperature,
            "fracture_threshold": point.fracture_threshold,
            "refer_below": referral.refer_below,
            "decided": f"{decided.basis}; " + "; ".join(note.removesuffix(".") for note in notes if note),
            "decisions": decided,
        }
        return self.model_copy(update=update)


def weights_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """Digest of the names, types, shapes and values of a state dict, whatever file it lies in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save(path: Path, state: Mapping[str, torch.Tensor], sidecar: Sidecar) -> None:
    """Write ``path`` and its sidecar, each whole or not at all; the tensors first."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    with replacing(path) as part:
        torch.save(plain, part)
    write_sidecar(path, sidecar)


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write the sidecar of the ``.pth`` at ``path``."""
    with replacing(path.with_suffix(".json")) as part:
        part.write_text(sidecar.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_sidecar(path: Path) -> Sidecar:
    """The sidecar of a ``.pth``.

    Raises:
        ConfigError: missing or of another schema.
    """
    place = path.with_suffix(".json")
    try:
        return Sidecar.model_validate_json(place.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{place}: missing; a checkpoint is a .pth with a .json of the same name") from error
    except ValidationError as error:
        raise ConfigError(f"{place}: not a sidecar of this version: {error}") from error


def load(path: Path) -> tuple[nn.Module, Sidecar]:
    """Build the model that was saved at ``path``, on the CPU and in evaluation mode.

    Raises:
        ConfigError: a file is missing or damaged, the tensors are not those that the sidecar names, or it was made
            for other preprocessing.
    """
    sidecar = read_sidecar(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = weights_sha256(state)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except Exception as error:  # a damaged file fails in many ways
        raise ConfigError(f"{path}: cannot be read as weights: {type(error).__name__}") from error
    if found != sidecar.weights_sha256:
        raise ConfigError(f"{path}: holds weights {found[:12]}, its sidecar names {sidecar.weights_sha256[:12]}")
    same_preprocessing(path, sidecar)
    return rebuild(path, sidecar, state), sidecar


def same_preprocessing(name: Path | str, sidecar: Sidecar) -> None:
    """See to it that a model gets the preprocessing that it knows.

    Raises:
        ConfigError: it was made for another.
    """
    if sidecar.preprocessing_version not in SAME_PREPROCESSING:
        raise ConfigError(
            f"{name}: made for preprocessing {sidecar.preprocessing_version}, this is {PREPROCESSING_VERSION}: its "
            "answers would be off. Load it with the version of this project that trained it, or train again."
        )


def rebuild(name: Path | str, sidecar: Sidecar, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """The model that a sidecar describes with its tensors, on the CPU and in evaluation mode.

    Raises:
        ConfigError: there is no such model, or the tensors are of another.
    """
    try:
        model = build(sidecar)
        model.load_state_dict(state)
    except ConfigError as error:
        raise ConfigError(f"{name}: its sidecar describes a model that cannot be built: {error}") from error
    except RuntimeError as error:
        what = f"{sidecar.model} of {len(sidecar.classes)} classes"
        raise ConfigError(f"{name}: the weights are not of the {what} that its sidecar names") from error
    return model.eval()


def build(sidecar: Sidecar) -> nn.Module:
    """The network that a sidecar describes, with random weights."""
    classes = len(sidecar.classes)
    if sidecar.members:
        return Ensemble([_network(member, classes) for member in sidecar.members], sidecar.members)
    return _network(sidecar, classes)


def _network(one: Sidecar | Member, classes: int) -> nn.Module:
    return backbones.build(backbones.find(one.model), classes, size=one.image_size, scales=one.scales)
