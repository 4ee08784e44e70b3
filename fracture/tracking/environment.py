"""Where a run was made: package versions, hardware, commit."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

import fracture

PACKAGES = (
    "fracture-classifier", "torch", "torchvision", "timm", "mlflow", "numpy", "pandas", "scikit-learn", "pillow",
    "opencv-python-headless", "optuna", "rich", "pydantic",
)  # fmt: skip


def environment(device: str) -> dict[str, Any]:
    """Plain values for environment.json; ``device`` is the name of the processor or GPU that trains."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": device,
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "command": " ".join(sys.argv),
        "git_commit": git("rev-parse", "HEAD").strip(),
        "git_dirty": bool(git("status", "--porcelain").strip()),
    }


def uncommitted() -> str:
    """The difference between the project's working tree and its commit, empty where there is none or no git."""
    return git("diff", "HEAD")


def git(*arguments: str) -> str:
    """What git says in the project's folder, empty when it says nothing or is not there."""
    folder = Path(fracture.__file__).parent
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, errors="replace", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
