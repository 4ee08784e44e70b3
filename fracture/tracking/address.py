"""The address of a store, looked at before anybody asks there: MLflow says of a wrong one what few understand."""

from urllib.parse import urlsplit

from mlflow.environment_variables import MLFLOW_ALLOW_FILE_STORE
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _tracking_store_registry

_USUAL = "sqlite:///mlflow.db (a file in the current folder) or http://HOST:PORT (a tracking server)"
_HOSTED = ("databricks", "databricks-uc", "uc")
_IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")


def why_no_address(uri: str) -> str:
    """Why there can be no store at an address, and what one looks like; empty where there may be one."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        return f"{error}. Allowed: {_USUAL}"
    if uri.partition(":")[0] in _HOSTED:
        return ""
    scheme = parts.scheme.split("+")[0]
    why = ""
    if scheme in ("", "file"):
        why = "" if MLFLOW_ALLOW_FILE_STORE.get() else "it names a folder of files, which MLflow no longer supports"
    elif uri.partition("?")[0] in _IN_MEMORY:
        why = "it names no file, so everything would be lost when the command ends"
    elif scheme == "sqlite" and parts.netloc:
        why = "a file comes after three slashes"
    elif scheme in ("http", "https") and (not parts.hostname or port == 0):
        why = "it names no host"
    elif not _is_known(uri):
        why = f"MLflow knows no {scheme!r}"
    return f"{why}. Allowed: {_USUAL}, and what else MLflow takes" if why else ""


def _is_known(uri: str) -> bool:
    try:
        return bool(_tracking_store_registry.get_store_builder(uri))
    except MlflowException:
        return False
