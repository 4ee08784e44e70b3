"""Where the seconds go from typing `mlflow run` to the first training step, and to the end.

    python -m tests.benchmarks.startup -P model=convnextv2

Runs the command in a copy of the project with an empty cache and store, then once more with both warm, and reads the
times off the lines that it prints.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.machine import machine

ROOT = Path(__file__).resolve().parents[2]
STEPS = (
    ("mlflow run starts, creates the store if new", "=== Running command"),
    ("imports, images rendered and decoded", "Data: "),
    ("weights looked for, run begun", "Run "),
    ("model built, memory format timed if new", "Plan: "),
    ("first epoch", "epoch 1/"),
    ("other epochs", ""),
    ("test, evidence, end", "=== Run (ID"),
)


def main() -> None:
    """Run twice and print."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("MLproject", "conda.yaml", "pyproject.toml"):
            shutil.copy(ROOT / name, copy)
        shutil.copytree(ROOT / "fracture", copy / "fracture", ignore=shutil.ignore_patterns("__pycache__"))
        cold, warm = run(copy), run(copy)
    print(f"{machine()}\nmlflow run . --env-manager local {' '.join(sys.argv[1:])}\n")
    print("| seconds | first run | again |\n|---|---|---|")
    for name in cold:
        print(f"| {name} | {cold[name]:.1f} | {warm.get(name, 0):.1f} |")
    print(f"| all | {sum(cold.values()):.1f} | {sum(warm.values()):.1f} |")


def run(project: Path) -> dict[str, float]:
    """Seconds of each step of one `mlflow run`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "FRACTURE_CACHE_DIR": str(project / "cache"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local", *sys.argv[1:]]
    start = last = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    seconds: dict[str, float] = {}
    for line in process.stdout:
        found = next((name for name, mark in STEPS if mark and mark in line and name not in seconds), None)
        if line.startswith("epoch ") and "epoch 1/" not in line:
            found = "other epochs"
        if found:
            now = time.perf_counter()
            seconds[found] = seconds.get(found, 0.0) + now - last
            last = now
    if process.wait():
        sys.exit(f"failed after {time.perf_counter() - start:.0f} s")
    seconds["test, evidence, end"] = seconds.get("test, evidence, end", 0.0) + time.perf_counter() - last
    return {name: seconds[name] for name, _ in STEPS if name in seconds}


if __name__ == "__main__":
    main()
