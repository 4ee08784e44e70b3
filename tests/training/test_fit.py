"""Training itself: the same weights from the same seed, however often it is interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fracture.config import TrainConfig
from fracture.data.dataset import Source, open_dataset
from fracture.errors import FractureError, Interrupted, MemoryLimitError
from fracture.evaluation import predictions
from fracture.models import backbones, checkpoint, weights
from fracture.training import engine, execution, fit, state
from fracture.training.conclude import conclude
from fracture.training.job import Job, build_model
from fracture.training.learner import Learner
from fracture.training.state import Position
from fracture.training.watch import Watch

FAST = {
    "model": "test_resnet",
    "image_size": 32,
    "epochs": 3,
    "batch_size": 8,
    "threads": 1,
    "memory_format": "contiguous",
}


class Silent:
    """A listener that notes what it hears, and interrupts at a given batch."""

    def __init__(self, interrupt_at: int = -1) -> None:
        self.heard: list[str] = []
        self.batches = 0
        self._interrupt_at = interrupt_at

    def started(self, job: Job, batches: int, position: Position) -> None:
        self.heard.append(f"started at {position.epoch}.{position.batch}")

    def batch(self, phase: str, done: int, total: int, position: Position) -> None:
        self.batches += 1
        if self.batches == self._interrupt_at:
            raise Interrupted("stopped by the test")

    def corrected(self, job: Job, reason: str) -> None:
        self.job = job
        self.heard.append(f"corrected: {reason}")

    def epoch(self, number: int, metrics: dict[str, float], best: bool) -> None:
        self.heard.append(f"epoch {number}")


@pytest.fixture
def make_job(images: Path, tmp_path: Path) -> Callable[..., Job]:
    def make(folder: str = "state", **values: object) -> Job:
        config = TrainConfig.model_validate(FAST | values)
        backbone = backbones.find(config.model)
        dataset = open_dataset(Source(str(images)), 32, tmp_path / "cache")
        plan = execution.resolve(config, 32, synthetic=False)
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        return Job(config, plan, backbone, weights.find("none", backbone), dataset, place)

    return make


def run(job: Job, listener: Silent | None = None) -> Position:
    watch = Watch(600, job.folder / "train.log", lambda reason: None)
    return fit.fit(job, build_model(job), watch, listener or Silent())


def digest(job: Job) -> str:
    return checkpoint.read_sidecar(job.folder / fit.BEST).weights_sha256


RECIPES = [
    {},
    {"optimizer": "adamw", "weight_decay": 0.05, "scheduler": "cosine", "warmup_epochs": 1, "ema_decay": 0.9},
    {"accumulation": 2, "clip_norm": 1.0, "label_smoothing": 0.1, "class_weights": "balanced", "layer_decay": 0.8},
    {"model": "test_convnext", "drop_path": 0.3, "precision": "bf16"},
    {"trained": "head", "lr": 0.01},
    {"head": "probe", "features": "pyramid", "trained": "backbone", "scheduler": "cosine", "ema_decay": 1.0},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["seed", "adamw", "accumulated", "drop path", "head only", "probe"])
@pytest.mark.parametrize("stop_at", [1, 4, 6])  # first batch, validation of the first epoch, second epoch
def test_interrupted_training_ends_with_the_same_weights(
    make_job: Callable[..., Job], recipe: dict[str, object], stop_at: int
) -> None:
    whole, parts = make_job("whole", **recipe), make_job("parts", **recipe)
    expected = run(whole)
    with pytest.raises(Interrupted):
        run(parts, Silent(interrupt_at=stop_at))
    position = run(parts)
    assert digest(parts) == digest(whole)
    timeless = [
        {k: v for k, v in e.items() if k not in ("epoch_seconds", "images_per_second", "peak_memory_gib")}
        for e in expected.history
    ]
    assert [{k: e[k] for k in timeless[0]} for e in position.history] == timeless


@pytest.mark.long
def test_interrupted_training_ends_with_the_same_weights_when_compiled(make_job: Callable[..., Job]) -> None:
    whole, parts = (
        replace(job, plan=job.plan.model_copy(update={"compiled": True})) for job in map(make_job, ("whole", "parts"))
    )
    run(whole)
    with pytest.raises(Interrupted):
        run(parts, Silent(interrupt_at=4))
    run(parts)
    assert digest(parts) == digest(whole)
    assert not [name for name in torch.load(whole.folder / fit.BEST, weights_only=True) if "_orig_mod" in name]


def test_a_kill_before_the_first_save_starts_over(make_job: Callable[..., Job]) -> None:
    whole, killed = make_job("whole"), make_job("killed")
    run(whole)
    assert not state.exists(killed.folder)
    run(killed)
    assert digest(killed) == digest(whole)


def test_another_seed_gives_other_weights(make_job: Callable[..., Job]) -> None:
    one, other = make_job("one", epochs=1), make_job("other", epochs=1, seed=1)
    run(one)
    run(other)
    assert digest(one) != digest(other)


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(make_job: Callable[..., Job]) -> None:
    # layer norm only: batch normalisation sees parts, which is why it is not equivalent there
    losses = []
    for accumulation in (1, 4):
        job = make_job(
            f"a{accumulation}",
            model="test_convnext",
            accumulation=accumulation,
            epochs=1,
            class_weights="balanced",
            precision="fp32",
        )
        losses.append(run(job).history[0]["val_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_training_learns_what_can_be_learned(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=15, lr=0.003, early_stop_patience=0, precision="fp32")
    position = run(job)
    results = conclude(job, position, Watch(600, job.folder / "log", lambda reason: None), Silent())
    assert results.splits["val"].metrics["macro_f1"].value == pytest.approx(
        max(epoch["val_macro_f1"] for epoch in position.history), abs=1e-6
    )
    assert position.history[-1]["train_loss"] < position.history[0]["train_loss"] * 0.75
    assert results.splits["test"].metrics["accuracy"].value > 0.6  # type: ignore[operator]


def test_freed_memory_is_given_back_before_every_epoch(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    monkeypatch.setattr("fracture.heap.give_back", lambda: called.append(1))
    run(make_job(epochs=3, early_stop_patience=0))
    assert len(called) == 3


def test_early_stopping_counts_from_the_best_epoch(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=30, early_stop_patience=2, lr=1e-8)  # nothing changes, so the first epoch stays the best
    position = run(job)
    assert position.epoch == position.best("val_macro_f1") + 1 + 2  # type: ignore[operator]


@pytest.mark.parametrize(("metric", "best"), [("val_macro_f1", 1), ("val_loss", 2)])
def test_best_epoch_is_the_earliest_of_equals(metric: str, best: int) -> None:
    history = [{"val_macro_f1": f, "val_loss": loss} for f, loss in [(0.5, 3.0), (0.7, 2.0), (0.7, 1.0), (0.6, 1.0)]]
    assert Position(history=history).best(metric) == best
    stars = Position(history=history).bests(metric)
    assert [number for number, star in enumerate(stars) if star] == list(range(best + 1)), "the best so far, each"


def test_a_loss_that_is_not_finite_names_the_files(make_job: Callable[..., Job]) -> None:
    job = make_job(lr=1.0, model="test_convnext", epochs=1)
    model = build_model(job)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(
        FractureError, match=r"loss \(nan\) in epoch 1, batch 1, is not finite(.|\n)*fracture/0\d\d.png(.|\n)*lower lr"
    ):
        fit.fit(job, model, Watch(600, job.folder / "log", lambda reason: None), Silent())


def test_out_of_memory_names_the_ways_out(make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(engine, "train_epoch", explode)
    with pytest.raises(MemoryLimitError, match=r"batch_size=8(.|\n)*accumulation=2(.|\n)*batch_size=4"):
        run(make_job())
    with pytest.raises(MemoryLimitError, match=r"accumulation=2(.|\n)*accumulation=4(.|\n)*checkpointing=true"):
        run(make_job("other", model="test_convnext"))  # without batch normalisation, split once and refused then


@contextmanager
def scarce_memory() -> Iterator[None]:
    """The sixth step runs out of memory at its end, when its gradients are there."""
    real, calls = Learner.backward, []

    def backward(self: Learner, *arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = real(self, *arguments)
        calls.append(1)
        if len(calls) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Learner, "backward", backward)
        yield


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("test_convnext", {"micro_batch": 4, "accumulation": 2}),
        ("test_resnet", {"checkpointing": True}),  # batch normalisation is not split
    ],
)
def test_a_step_out_of_memory_is_tried_again_under_a_smaller_plan(
    make_job: Callable[..., Job], model: str, change: dict[str, object]
) -> None:
    job, listener = make_job(model=model), Silent()
    with scarce_memory():
        position = run(job, listener)
    (said,) = (line for line in listener.heard if line.startswith("corrected"))
    assert "does not fit" in said
    assert listener.job.plan == job.plan.model_copy(update={"memory_corrected": True, **change})
    assert position.epoch == 3
    assert all(np.isfinite(epoch["train_loss"]) for epoch in position.history)


def test_after_a_correction_an_interruption_changes_nothing(make_job: Callable[..., Job]) -> None:
    whole, parts = make_job("whole", model="test_convnext"), make_job("parts", model="test_convnext")
    with scarce_memory():
        run(whole)
    listener = Silent(interrupt_at=9)
    with scarce_memory(), pytest.raises(Interrupted):
        run(parts, listener)
    run(replace(parts, plan=listener.job.plan))
    assert digest(parts) == digest(whole)


def test_order_is_a_permutation_that_differs_by_epoch() -> None:
    indices = np.arange(10, 27)
    first, second = engine.order(indices, 8, 0, 0), engine.order(indices, 8, 0, 1)
    assert [len(batch) for batch in first] == [8, 8]  # the last one image is left out
    assert set(np.concatenate(first)) < set(indices)
    assert not np.array_equal(first[0], second[0])
    assert all(np.array_equal(a, b) for a, b in zip(first, engine.order(indices, 8, 0, 0), strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_evidence_of_a_run_agrees_with_itself(make_job: Callable[..., Job], precision: str) -> None:
    job = make_job(epochs=1, precision=precision)
    position = run(job)
    results = conclude(job, position, Watch(600, job.folder / "log", lambda reason: None), Silent())
    model, sidecar = checkpoint.load(job.folder / fit.BEST)
    probe = np.load(job.folder / "probe.npz")
    plan = job.plan.model_copy(update={"micro_batch": 3, "precision": "fp32"})  # as the probe, whatever trains
    test = job.indices("test")[: len(probe["images"])]
    again = engine.predict(model, plan, job.normalize, job.dataset, test)
    np.testing.assert_allclose(again, probe["logits"], atol=1e-5)
    for split in ("val", "test"):  # judged in fp32, as it is served
        said = predictions.read(job.folder / f"predictions_{split}.csv").logits
        served = engine.predict(model, plan, job.normalize, job.dataset, job.indices(split))
        np.testing.assert_allclose(said, served, atol=1e-5)
    lines = (job.folder / "predictions_test.csv").read_text().splitlines()
    assert len(lines) - 1 == results.splits["test"].n == sum(map(sum, results.splits["test"].confusion))
    assert sidecar.classes == results.classes
    assert sidecar.weights_sha256 == results.weights_sha256


def test_answers_to_validation_are_kept_or_asked_for_again(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=2, ema_decay=0.9, precision="fp32")
    position = run(job)
    found = []
    for kept in (True, False):
        if not kept:
            (job.folder / "validation.npz").unlink()
        results = conclude(job, position, Watch(600, job.folder / "log", lambda reason: None), Silent())
        found.append(((job.folder / "predictions_val.csv").read_bytes(), results.splits, results.decisions))
    assert found[0] == found[1]
    sha = checkpoint.read_sidecar(job.folder / fit.BEST).weights_sha256
    assert fit.validation_answers(job.folder, sha) is None


def test_saved_state_loads_without_unpickling(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=1, ema_decay=0.5)
    run(job)
    saved = torch.load(job.folder / "state.pt", weights_only=True)
    assert saved["position"]["epoch"] == 1
    assert set(saved["learner"]) == {"model", "ema", "optimizer", "schedule", "scaler", "rng"}


def test_a_job_on_other_data_does_not_share_a_plan(make_job: Callable[..., Job]) -> None:
    job = make_job(batch_size=6, accumulation=3)
    assert job.plan.micro_batch == 2
    assert replace(job, folder=Path("x")).plan == job.plan


def test_an_answer_on_validation_that_is_not_finite_names_the_files(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine.predict

    def broken(*arguments: object) -> np.ndarray:
        logits = real(*arguments)  # type: ignore[arg-type]
        logits[0, 0] = np.nan
        return logits

    monkeypatch.setattr(engine, "predict", broken)
    with pytest.raises(FractureError, match=r"the answer on validation is not finite(.|\n)*fracture/0\d\d.png"):
        run(make_job(epochs=1))


@pytest.mark.parametrize(
    "wanted", [{"epochs": 1}, {"epochs": 3, "lr": 0.5, "optimizer": "adamw", "select_metric": "val_loss"}]
)
def test_a_linear_probe_is_kept_as_it_is_unless_learning_gains(
    make_job: Callable[..., Job], wanted: dict[str, object]
) -> None:
    job = make_job(head="probe", features="pyramid", **wanted)
    model = build_model(job)
    before = checkpoint.weights_sha256(model.state_dict())
    watch = Watch(600, job.folder / "train.log", lambda reason: None)
    position = fit.fit(job, model, watch, Silent())
    assert position.epoch == wanted["epochs"]
    assert position.best("val_loss") == 0, "a rate of 0.5 destroys whatever there is"
    assert digest(job) == before
    assert 0 < position.history[0]["train_loss"] < 10
    assert job.learns == (job.plan.epochs > 1)
    assert (checkpoint.weights_sha256(model.state_dict()) != before) == job.learns


def test_looking_gives_the_loss_of_a_step(make_job: Callable[..., Job]) -> None:
    job = make_job(model="test_convnext", augmentation="none", class_weights="balanced", label_smoothing=0.1)
    counts = np.array([5, 7, 9])
    learner = Learner(build_model(job), job.config, job.plan, job.normalize, counts, 1)
    pixels = torch.from_numpy(job.dataset.pixels(np.arange(8)))
    labels = torch.arange(8) % 3
    looked = learner.look(pixels, labels)
    stepped = learner.step(pixels, labels, seed=0, number=0)
    torch.testing.assert_close(looked, stepped)
    assert learner.look(pixels, labels)[0] < looked[0]
