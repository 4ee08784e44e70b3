"""Imports, in multiprocessing's fork server, what the processes that it forks for tests begin with."""

import gc
import importlib

from tests import forked

forked.preload()
for _name in ("mlflow.cli", "mlflow.server", "mlflow.projects", "mlflow.pyfunc", "uvicorn", "tests.registry.moves"):
    importlib.import_module(_name)
gc.collect()
gc.freeze()  # what is loaded stays shared
