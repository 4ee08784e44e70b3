"""Preparing a study: the data is audited and decoded, the machine looked at, and what all trials share is settled."""

from pathlib import Path

from fracture.config import TrainConfig, seeds
from fracture.data import cache
from fracture.data.audit.report import AuditReport
from fracture.data.dataset import Dataset, Source, open_dataset, read, resized, split
from fracture.data.manifest import Manifest
from fracture.errors import ConfigError, DataError
from fracture.models import backbones
from fracture.models import weights as initial_weights
from fracture.models.backbones import Backbone
from fracture.models.weights import Weights
from fracture.progress import Terminal
from fracture.runs.audit import audit_before_training
from fracture.tracking import store
from fracture.training import execution, recipe
from fracture.training.execution import Plan
from fracture.training.memory.limit import find_limit
from tuning import process
from tuning.config import FURTHER, TuneConfig
from tuning.task import SEEN, Task


def prepare(
    tuning: TuneConfig, config: TrainConfig, terminal: Terminal, *, joining: bool = False
) -> tuple[Task, AuditReport | None]:
    """Look at the data and the machine, and settle what all trials share.

    Args:
        tuning: the study's settings.
        config: what trials share.
        terminal: shows the data.
        joining: a study whose first process has audited the same data.

    Raises:
        ConfigError: an unknown backbone, several of them, or a recipe that leaves nothing to tune.
        DataError: the data is refused.
    """
    backbone = _backbone(tuning, config)
    size = backbone.image_size(config.image_size)
    weights = initial_weights.find(config.weights, backbone, config.weights_license)
    weights = initial_weights.check(weights, backbone, size)
    source = Source(
        config.data, config.demo_images, config.val_fraction, config.test_fraction, config.data_seed
    )  # fmt: skip
    cache_dir = cache.folder_of(config.cache_dir)
    report = None if joining else _audited(source, config, cache_dir, terminal)
    with terminal.working() as working:
        dataset = open_dataset(source, size, cache_dir, working, SEEN)
    _show(dataset, terminal)
    settled = _by_recipe(config, backbone, dataset.manifest, weights, terminal)
    if backbone.image_size(settled.image_size) != size:
        size = backbone.image_size(settled.image_size)
        with terminal.working() as working:
            dataset = resized(dataset, size, cache.folder_of(config.cache_dir), working)
    terminal.say("Looking at this machine, in the process that trials are begun from ...")
    plan = process.call(_look, settled, size, dataset.manifest.synthetic)
    config = settled.model_copy(
        update={
            "model": backbone.nickname,
            "recipe": "seed",  # its choices are in the other settings now; values tried must not be taken for defaults
            "epochs": plan.epochs,
            "image_size": size,
            "device": plan.device,
            "precision": plan.precision,
            "checkpointing": plan.checkpointing,
        }
    )
    assert plan.memory_limit_gib is not None
    return Task(config, plan, backbone, weights, dataset, plan.memory_limit_gib, cache_dir), report


def _backbone(tuning: TuneConfig, config: TrainConfig) -> Backbone:
    """The one backbone that is tuned, once it is known to take what will be tried."""
    names = backbones.split_names(config.model)
    if len(names) > 1:
        raise ConfigError(f"model={config.model}: a study tunes one backbone; give each a command of its own")
    backbone = backbones.find(names[0])
    searched = {name: FURTHER[name] for name in ("drop_path",) if name in tuning.searched}
    backbones.check(backbone, config.model_copy(update=searched))
    return backbone


def _audited(source: Source, config: TrainConfig, cache_dir: Path, terminal: Terminal) -> AuditReport | None:
    """The audit of all splits: a study on leaking data would choose what remembers best."""
    problems: list[str] = []
    with terminal.working() as working:
        manifest = split(read(source, cache_dir, problems, working), source, problems)
    if problems:
        raise DataError(problems)
    refused = store.project_root() / "mlruns" / "audit"
    return audit_before_training(manifest, config.data, config.audit, cache_dir, refused, terminal)


def _by_recipe(
    config: TrainConfig, backbone: Backbone, manifest: Manifest, weights: Weights, terminal: Terminal
) -> TrainConfig:
    facts = recipe.Facts(len(manifest.indices("train")), weights.origin != "random", manifest.synthetic)
    chosen, changes, why = recipe.resolve(config, backbone, facts)
    if chosen.head == "probe" and chosen.epochs == 1:
        raise ConfigError(
            f"recipe={config.recipe} ({why}), head=probe, epochs=1: only a linear probe is fitted, so lr and "
            "batch_size have almost no effect and there is nothing to tune.\n"
            "Tune with recipe=seed and head=random, give more epochs, or train without tuning."
        )
    if told := [f"{name}={value}" for name, value in changes.items() if value != seeds()[name]]:
        terminal.say(f"Recipe: {why}; {', '.join(told)}.")
    return chosen


def _look(config: TrainConfig, size: int, synthetic: bool) -> Plan:
    """The plan of this machine; in a process of its own, since asking a GPU its name takes memory on it for good."""
    plan = execution.resolve(config, size, synthetic)
    limit = find_limit(config.memory_limit_gib, plan.device)
    reasons = plan.reasons | ({"memory_limit_gib": limit.reason} if limit.reason else {})
    return plan.model_copy(update={"memory_limit_gib": limit.gib, "reasons": reasons})


def _show(dataset: Dataset, terminal: Terminal) -> None:
    manifest = dataset.manifest
    if manifest.synthetic:
        terminal.warn("These images are SYNTHETIC: rendered, not radiographs. Scores on them have no medical meaning.")
    counts = manifest.counts()
    rows = [[name, *(str(n) for n in counts[name].values()), str(sum(counts[name].values()))] for name in SEEN]
    terminal.table(f"Data: {manifest.name}; the test split is not used", ["split", *dataset.classes, "all"], rows)
