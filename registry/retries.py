"""Writes to a store that other processes write to at the same moment, and its pages put together."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import mlflow
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

PATIENCE = 60.0  # seconds of a store that is busy
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # of a model, of an alias
_BUSY = {"TEMPORARILY_UNAVAILABLE": PATIENCE, "BAD_REQUEST": 10.0}  # a locked database; two first writes of one alias
FULL = "database or disk is full"  # as SQLite says it; waiting makes no room
T = TypeVar("T")


def with_retries(write: Callable[[], T]) -> T:
    """Do a write that may be done twice, again and again while the store is too busy."""
    began = time.monotonic()
    while True:
        try:
            return write()
        except MlflowException as error:
            if FULL in str(error) or time.monotonic() - began > _BUSY.get(error.error_code, -1):
                raise
            pause()


def make_model(client: mlflow.MlflowClient, name: str, description: str | None = None) -> None:
    """Create a registered model; that it exists, or that another process was quicker, is as well."""
    try:
        with_retries(lambda: client.create_registered_model(name, description=description))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def pause() -> None:
    """Wait a moment, each process another one."""
    time.sleep(random.uniform(0.05, 0.5))


def versions_of(client: mlflow.MlflowClient, name: str) -> list[ModelVersion]:
    """All versions of a registered model, in no order."""
    page = client.search_model_versions(f"name='{name}'", max_results=200)
    found = list(page)
    while page.token:
        page = client.search_model_versions(f"name='{name}'", max_results=200, page_token=page.token)
        found += page
    return found


def models_of(client: mlflow.MlflowClient) -> list[RegisteredModel]:
    """All registered models of the store, in no order."""
    page = client.search_registered_models(max_results=200)
    found = list(page)
    while page.token:
        page = client.search_registered_models(max_results=200, page_token=page.token)
        found += page
    return found


def model_of(client: mlflow.MlflowClient, name: str) -> RegisteredModel | None:
    """A registered model with its tags and aliases, None where there is none of this name."""
    try:
        return with_retries(lambda: client.get_registered_model(name))
    except MlflowException as error:
        if error.error_code == ABSENT[0]:
            return None
        raise
