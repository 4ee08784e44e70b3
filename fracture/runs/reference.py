"""The reference of a run's model, from its answers to images that it had not learned from, where these still are."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from fracture.data.cache import folder_of
from fracture.data.images import Grey, ImageError, decode, letterbox
from fracture.data.inspection.inspect import inspect
from fracture.data.inspection.pool import workers_of
from fracture.data.inspection.store import InspectionStore
from fracture.errors import ConfigError
from fracture.evaluation import predictions
from fracture.evaluation.metrics import softmax
from fracture.evaluation.predictions import Predictions
from fracture.files import expanded
from fracture.inference import features
from fracture.inference.features import Features
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from fracture.models.pooled import pooled
from fracture.monitoring.reference import MOST, Reference, build
from fracture.progress import LOG
from fracture.runs.record import Record
from fracture.tracking import artifacts, query

IMAGES = 200  # at most whose features are looked at: each goes through the model once more
_KINDS = {"predictions_test.csv": "test", "predictions_out_of_fold.csv": "out-of-fold"}
_AT_ONCE = 16


def reference_of(run_id: str) -> tuple[Reference, Features | None]:
    """The reference of a run's model, and its features; without traits and features of images that are gone.

    Raises:
        ConfigError: no such run, or it has no model or no answers.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        names = ("best.pth", "best.json", "config.json", *_KINDS)
        there = {path.name for path in artifacts.fetch(run_id, names, place)}
        if not {"best.pth", "predictions_test.csv"} <= there:
            raise ConfigError(f"run {run_id}: has no model with test answers, so there is no reference of it")
        with artifacts.named(place, f"run {run_id}"):
            predictor = Predictor(*checkpoint.load(place / "best.pth"))
            answers = [predictions.read(place / name) for name in _KINDS if name in there]
        root = _root(run_id, place)
    basis = f"{' and '.join(_KINDS[name] for name in _KINDS if name in there)} answers of run {run_id}"
    paths = [root / path for one in answers for path in one.paths]
    chosen = np.random.default_rng(0).permutation(len(paths))[:MOST].tolist()
    measured = _traits(answers, paths, chosen)
    squares = _squares([paths[i] for i in chosen], predictor.sidecar.image_size)
    seen = _pooled(predictor, squares) if len(squares) >= 2 * features.FEWEST else None
    if not any(measured):
        LOG.warning("the reference has no traits, for the images of run %s are not at %s any more", run_id, root)
    sidecar = predictor.sidecar
    found = build(
        sidecar.rule, sidecar.weights_sha256, basis,
        np.concatenate([softmax(one.logits / sidecar.temperature) for one in answers]),
        [group or f"alone {i}" for i, group in enumerate(group for one in answers for group in one.groups)],
        measured, features.cross_fitted(seen) if seen is not None else (),
    )  # fmt: skip
    return found, Features.fit(seen) if seen is not None else None


def _root(run_id: str, place: Path) -> Path:
    """The folder that a run's images lay in."""
    if (place / "config.json").is_file():
        with suppress(ValidationError):  # of an earlier version
            return Path(Record.model_validate_json((place / "config.json").read_bytes()).data_root)
    data = expanded(query.run_of(run_id).params.get("data", ""))
    return data if data.is_dir() else data.parent


def _traits(answers: Sequence[Predictions], paths: Sequence[Path], chosen: Sequence[int]) -> list[tuple[float, ...]]:
    """Traits of the chosen images: those that an audit has measured, else measured now; empty for all others."""
    digests = [digest for one in answers for digest in one.sha256]
    cache = folder_of("auto")
    with InspectionStore(cache) as store:
        known = store.read(digests[i] for i in chosen)
    absent = [i for i in chosen if digests[i] not in known and paths[i].is_file()]
    known |= {found.sha256: found for found in inspect([paths[i] for i in absent], cache, workers_of("auto"))}
    measured: list[tuple[float, ...]] = [()] * len(digests)
    for i in chosen:
        measured[i] = known[digests[i]].traits if digests[i] in known else ()
    return measured


def _squares(paths: Sequence[Path], size: int) -> list[Grey]:
    """Grey squares of the first `IMAGES` files that are there."""
    squares: list[Grey] = []
    for path in paths:
        if len(squares) < IMAGES and path.is_file():
            try:
                squares.append(letterbox(decode(path.read_bytes()), size))
            except (ImageError, OSError):
                continue
    return squares


def _pooled(predictor: Predictor, squares: Sequence[Grey]) -> features.Floats | None:
    """Pooled features [n, d], None where the model has none."""
    parts = []
    for start in range(0, len(squares), _AT_ONCE):
        with pooled(predictor.module) as passes:
            predictor.logits(np.stack(squares[start : start + _AT_ONCE]))
        if not passes:
            return None
        parts.append(torch.stack(passes).mean(dim=0).numpy())
    return np.concatenate(parts)
