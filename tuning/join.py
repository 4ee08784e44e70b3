"""A further worker of a study that another process has begun, on this machine or another."""

from collections.abc import Mapping

import optuna
from optuna.storages import RDBStorage

from fracture.config import parse
from fracture.errors import ConfigError
from fracture.progress import Terminal
from fracture.runs import gpus
from tuning import process, record, storage, study
from tuning.prepare import prepare
from tuning.stop import stoppable
from tuning.worker import Worker, folder_of, stale


def join(name: str, url: str, overrides: Mapping[str, str], worker: str, terminal: Terminal) -> None:
    """Work at a study that another process has begun, until it is finished.

    Args:
        name: of the study.
        url: of its storage.
        overrides: settings that differ on this machine (data, weights, cache_dir, threads, stall_seconds, trials).
        worker: name of this worker, which its sampler's numbers follow from.
        terminal: shows how it goes.

    Raises:
        ConfigError: no such study, or other data, weights or hardware than its own.
        Interrupted: a signal stopped it.
    """
    with storage.closing(storage.open_storage(url, stale)) as kept:
        _join(name, kept, overrides, worker, terminal)


def _join(name: str, kept: RDBStorage, overrides: Mapping[str, str], worker: str, terminal: Terminal) -> None:
    try:
        own = optuna.load_study(study_name=name, storage=kept)
    except KeyError as error:
        known = ", ".join(sorted(optuna.get_all_study_names(kept))) or "none"
        raise ConfigError(f"study={name}: is not in this storage. Allowed: {known}") from error
    found = record.read(own)
    if found is None or not found.run:
        raise ConfigError(f"study={name}: was not started yet; start it with `python -m tuning`, then join")
    trials = int(overrides.get("trials", found.tuning.trials))
    local = {key: value for key, value in overrides.items() if key != "trials"}
    config = parse(found.config.model_dump() | local | {"recipe": "seed", "audit": "off"}, "python -m tuning worker")
    with gpus.claim(config.device):
        process.warm_up()
        task, _ = prepare(found.tuning.model_copy(update={"recipe": "seed"}), config, terminal, joining=True)
        if task.digest() != found.task:
            digests = {split: task.dataset.manifest.digest(split) for split in found.data}
            raise ConfigError(
                f"study={name}: has data {found.data} and weights from {found.weights}; here they are {digests} and "
                f"from {task.weights.origin}. Bring the same ones here (--data, --weights), and the same version of "
                "this project."
            )
        own.pruner = study.pruner_of(found.tuning.pruner, task.plan.epochs - task.judged_first)
        with stoppable() as stop:
            joined = Worker(own, kept, found, task, trials, found.run, worker, folder_of(name), terminal, stop)
            joined.settle_kept()
            joined.keep_best()  # that of a worker here which died before it could
            joined.work()
