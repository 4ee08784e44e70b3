"""Proves on a card what tests without one can only predict: memory, the limit, speed, resume, tuning, precisions.

    python -m tests.gpu --out results                 # about eight minutes on a large card
    python -m tests.gpu --out results --only memory,limit
    python -m tests.gpu --tiny --out /tmp/rehearsal   # small models; runs on a CPU too

The parts are processes of their own with a time limit, so that none takes the others down. On a card with room for all
they run side by side, but for what is timed; else one after the other, the most telling ones first.
gpu.json and gpu.md in the folder are written anew after each part. Exit code 1: a check did not hold.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.gpu.card import described, has_room

ROOT = Path(__file__).parents[2]
MODELS = ("convnextv2", "efficientnetv2", "swin", "maxvit")
PARTS: dict[str, tuple[str, int]] = {  # title, seconds that it may take
    "memory": ("Memory of a step: predicted and measured", 240),
    "limit": ("The limit of 7.6 GiB holds", 240),
    "speed": ("A whole epoch against the alternatives", 240),
    "profile": ("Where the time of a step goes", 120),
    "resume": ("kill -9 and --resume", 240),
    "study": ("A study under the limit, half of whose batches do not fit", 200),
    "precisions": ("Every precision, and model=all", 240),
    "suite": ("The tests of the suite that need a card", 120),
}


def main() -> int:
    """Run the parts; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"card": described(), "parts": {}}
    print(report["card"], flush=True)
    names, written = options.only.split(","), threading.Lock()

    def take(name: str) -> None:
        part = measured(name, options.tiny, options.out)
        with written:
            report["parts"][name] = part
            (options.out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            (options.out / "gpu.md").write_text(page(report), encoding="utf-8")
            print(page({"card": "", "parts": {name: part}}), flush=True)

    timed = [name for name in ("speed", "profile") if name in names]  # which are measured alone
    beside = [name for name in names if name not in timed]
    with ThreadPoolExecutor(len(beside) or 1 if has_room() else 1) as pool:
        list(pool.map(take, beside))
    for name in timed:
        take(name)
    return int(any(part["problems"] for part in report["parts"].values()))


def measured(name: str, tiny: bool, out: Path) -> dict[str, Any]:
    """One part of the report."""
    began, rows, problems = time.monotonic(), [], []
    for more in _runs(name, tiny):
        left = PARTS[name][1] - (time.monotonic() - began)
        found, problem = run_part(name, [*more, *(["--tiny"] if tiny else [])], left, out)
        rows += found
        problems += [problem] if problem else []
    problems += [f"does not hold: {row}" for row in rows if row.get("holds") is False]
    seconds = round(time.monotonic() - began, 1)
    return {"title": PARTS[name][0], "seconds": seconds, "rows": rows, "problems": problems}


def _runs(name: str, tiny: bool) -> list[list[str]]:
    """Arguments of each process of a part; what may find no time comes last."""
    models = [["--model", model] for model in MODELS]
    compiled = [] if tiny else [[*models[0], "--compiled"]]  # minutes on a processor
    return {"memory": models, "speed": [*models, *compiled], "profile": models}.get(name, [[]])


def run_part(name: str, more: list[str], seconds: float, out: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows of a part, and what went wrong; its whole output is kept beside the report."""
    if seconds < 5:
        return [], f"{' '.join([name, *more])}: no time left"
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        log = out / f"{'-'.join([name, *(one.strip('-') for one in more)])}.log"
        with log.open("w+", encoding="utf-8") as file:
            command = [sys.executable, "-m", f"tests.gpu.{name}", *more]
            process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                code = process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [json.loads(line)["row"] for line in lines if line.startswith('{"row"')]
    said = next((line for line in reversed(lines) if line.strip() and not line.startswith('{"row"')), "")
    return rows, f"{' '.join([name, *more])} ended with {code} after {seconds:.0f} s at most: {said}" if code else ""


def page(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"{report['card']}\n"] if report["card"] else []
    for part in report["parts"].values():
        lines.append(f"## {part['title']} ({part['seconds']:.0f} s)\n")
        names = list(dict.fromkeys(name for row in part["rows"] for name in row))
        if names:
            lines += ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
            lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in part["rows"]]
        lines += ["", *(f"- {problem}" for problem in part["problems"]), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
