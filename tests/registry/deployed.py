"""A model of three versions that nobody has trained: real runs, packages of plain files, a real history."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np

from fracture.data.manifest import Manifest, Row
from fracture.evaluation import predictions
from registry import champion, check, gates, promote, thresholds
from registry.versions import Registry
from tests.registry.made_up import CLASSES, GOOD
from tests.registry.screens import quiet

LIMITS = thresholds.read(thresholds.DEFAULT)
NAME = "bones"
assert GOOD.results is not None
RESULTS = GOOD.results


@dataclass(frozen=True)
class Deployed:
    """Version 3 is @candidate, 2 @champion, 1 @previous; a fourth run waits.

    Attributes:
        uri: of the store.
        folder: of its database ``mlflow.db`` and its files.
        runs: of the versions 1 to 3, and another one.
        models: ids of their packages.
    """

    uri: str
    folder: Path
    runs: tuple[str, ...]
    models: tuple[str, ...]

    @property
    def registry(self) -> Registry:
        return Registry(NAME)

    def keep(self) -> None:
        """Keep a copy of the store."""
        shutil.copytree(self.folder, self.folder.with_suffix(".kept"))

    def bring_back(self) -> None:
        """Make the store what it was; whoever has the database open sees it change."""
        kept = self.folder.with_suffix(".kept")
        for place in kept.iterdir():
            if place.is_dir():
                shutil.rmtree(self.folder / place.name)
                shutil.copytree(place, self.folder / place.name)
        with (
            closing(sqlite3.connect(kept / "mlflow.db")) as old,
            closing(sqlite3.connect(self.folder / "mlflow.db")) as to,
        ):
            old.backup(to)


def run_of(folder: Path, seed: int) -> str:
    """A finished run with files like those of a training run."""
    client, place = mlflow.MlflowClient(), folder / f"run-{seed}"
    place.mkdir(parents=True)
    run = str(client.create_run("0").info.run_id)
    for name in ("best.pth", "best.json", "config.json", "manifest.csv"):
        (place / name).write_text(f"{name} {seed} {run}")
    (place / "results.json").write_text(RESULTS.model_dump_json())
    rng, labels = np.random.default_rng(seed), np.repeat([0, 1, 2], 20)
    rows = [Row(place / f"{i}.png", CLASSES[k], "test", f"g{i}", sha256=f"{i:064x}") for i, k in enumerate(labels)]
    logits = rng.normal(size=(60, 3)) + 3 * np.eye(3)[labels]
    predictions.write(
        place / "predictions_test.csv", Manifest("bones", place, rows), range(60), logits, 1.0, RESULTS.rule
    )
    client.log_artifacts(run, str(place))
    client.set_terminated(run)
    return run


def package_of(folder: Path, run: str) -> str:
    """A package of plain files, with the digest that promotion notes."""
    client, place = mlflow.MlflowClient(), folder / f"package-{run}"
    place.mkdir(parents=True)
    (place / "weights.safetensors").write_text(run)
    model = client.create_logged_model("0", "package", source_run_id=run)
    client.log_model_artifacts(model.model_id, str(place))
    client.finalize_logged_model(model.model_id, "READY")
    client.set_logged_model_tags(model.model_id, {check.DIGEST: check.digest_of(place)})
    return str(model.model_id)


def enter(registry: Registry, run: str, model: str, seed: int) -> None:
    """Enter a run as the candidate, as `promote` does with one that has passed."""
    digest = mlflow.MlflowClient().get_logged_model(model).tags[check.DIGEST]
    results = RESULTS.model_copy(update={"weights_sha256": f"{seed}" * 64})
    evidence = replace(GOOD, run_id=run, package_digest=digest, results=results)
    judged = gates.judge(evidence, LIMITS, "research")
    promote.enter(registry, evidence, judged, "research", f"models:/{model}", LIMITS)


def deploy(uri: str, folder: Path, files: Path) -> Deployed:
    """Promote and challenge twice, promote once more, in the store that is connected."""
    runs = tuple(run_of(files, seed) for seed in (1, 2, 3, 4))
    d = Deployed(uri, folder, runs, tuple(package_of(files, run) for run in runs))
    for seed in (1, 2, 3):
        enter(d.registry, d.runs[seed - 1], d.models[seed - 1], seed)
        if seed < 3:
            champion.challenge(d.registry, quiet(), margin=1.0)
    return d
