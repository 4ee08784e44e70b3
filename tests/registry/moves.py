"""What the tests of the registry let other processes do."""

import functools
import gc
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import NoReturn

import mlflow
from sqlalchemy import Engine

from fracture.errors import ConfigError
from registry import gates, promote, thresholds
from registry.evidence import Evidence
from registry.versions import Registry

WRITES = (
    "create_registered_model", "create_model_version", "set_model_version_tag", "set_registered_model_alias",
    "delete_registered_model_alias", "log_model_artifacts", "log_artifact", "set_tag", "set_registered_model_tag",
    "delete_model_version_tag",
)  # fmt: skip
DIED, REFUSED = 70, 71


def connect(uri: str) -> None:
    """Use a store in a process of its own."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)


def move_at_once(uri: str, name: str, action: str, version: str, before: str, together: Barrier) -> None:
    """Move, at the same moment as others; ends with REFUSED where another was quicker."""
    connect(uri)
    registry = Registry(name)
    together.wait(60)
    try:
        registry.move(action, version, before, f"{action} {version}")
    except ConfigError as error:
        if "does not count" not in str(error):
            raise
        os._exit(REFUSED)


def nursery(uri: str, asked: Connection) -> None:
    """Fork a child for each ``(writes, work)`` that is asked for, and answer with how it ended, until None comes.

    The store is made ready once; the children begin with connections of their own.
    """
    connect(uri)
    Registry("nobody").versions()
    while (order := asked.recv()) is not None:
        child = os.fork()
        if child == 0:
            _dying(*order)
        asked.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _dying(writes: int, work: Callable[[], object]) -> NoReturn:
    """Do something, and die just before the write to the store that follows ``writes`` others."""
    for engine in [one for one in gc.get_objects() if type(one) is Engine]:
        engine.dispose(close=False)
    left = [writes]

    def counted(write: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(write)
        def do(*arguments: object, **named: object) -> object:
            if left[0] == 0:
                os._exit(DIED)
            left[0] -= 1
            return write(*arguments, **named)

        return do

    for name in WRITES:
        setattr(mlflow.MlflowClient, name, counted(getattr(mlflow.MlflowClient, name)))
    try:
        work()
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def enter(name: str, evidence: Evidence, uri: str) -> str:
    """Register what has passed, as `promote` does."""
    registry = Registry(name)
    registry.ready()
    limits = thresholds.read(thresholds.DEFAULT)
    return promote.enter(registry, evidence, gates.judge(evidence, limits, "research"), "research", uri, limits)


def move(name: str, action: str, version: str, before: str) -> None:
    """Move aliases, as `challenge` and `rollback` do."""
    registry = Registry(name)
    registry.ready()
    registry.move(action, version, before, "because")
