"""What every benchmark prints beside its figures."""

import os
import platform
from importlib.metadata import version

from fracture.training.execution import hardware


def machine() -> str:
    """Processor, cores, load and versions in one line."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "mlflow"))
    return f"{hardware('cpu')}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}, {packages}"
