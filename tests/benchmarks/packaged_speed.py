"""The packaged model against the bare forward of the same module, in one process, in turn.

python -m tests.benchmarks.packaged_speed MODEL IMAGE... [--rounds N]

MODEL is ``models:/NAME@ALIAS``, IMAGE a file or a folder. Single: pyfunc's ``predict`` on a DataFrame of one base64
image against decoding it (base64, pixels, square) and the module on the square, each timed by itself. Batch: 16.
"""

import sys
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from fracture.data.images import decode, letterbox
from fracture.inference.inputs import from_base64
from fracture.inference.table import images_of
from fracture.tracking import store
from tests.benchmarks.machine import machine

BATCH = 16


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main(model: str, *sources: str) -> None:
    """Print the figures."""
    rounds = int(sources[sources.index("--rounds") + 1]) if "--rounds" in sources else 100
    paths = images_of([Path(one) for one in sources if not one.startswith("--") and not one.isdigit()])
    store.connect()
    loaded = mlflow.pyfunc.load_model(model)
    predictor = loaded.unwrap_python_model().predictor
    size = predictor.sidecar.image_size
    texts = [b64encode(path.read_bytes()).decode() for path in paths]
    squares = np.stack([letterbox(decode(path.read_bytes()), size) for path in paths[:BATCH]])
    single: dict[str, list[float]] = {"pyfunc": [], "decode": [], "forward": []}
    batch: dict[str, list[float]] = {"pyfunc": [], "decode": [], "forward": []}
    for i in range(rounds + 5):
        text, square = texts[i % len(texts)], squares[i % BATCH][None]
        many = [texts[(i + k) % len(texts)] for k in range(BATCH)]
        frames = pd.DataFrame({"image": [text]}), pd.DataFrame({"image": many})
        once = {
            "pyfunc": timed(lambda: loaded.predict(frames[0])),  # noqa: B023 - called at once
            "decode": timed(lambda: letterbox(decode(from_base64(text)), size)),  # noqa: B023
            "forward": timed(lambda: predictor.logits(square)),  # noqa: B023
        }
        for name, spent in once.items():
            single[name] += [spent] if i >= 5 else []
        if i % 5 == 4:
            batch["pyfunc"].append(timed(lambda: loaded.predict(frames[1])))  # noqa: B023
            batch["decode"].append(timed(lambda: [letterbox(decode(from_base64(t)), size) for t in many]))  # noqa: B023
            batch["forward"].append(timed(lambda: predictor.logits(squares)))
    print(machine())
    for what, times, n in (("single", single, rounds), (f"batch of {BATCH}", batch, len(batch["pyfunc"]))):
        p50 = {name: float(np.median(spent)) for name, spent in times.items()}
        above = np.median(np.array(times["pyfunc"]) - np.array(times["decode"])) / p50["forward"]
        print(f"{what}, n = {n}, p50 in ms: " + ", ".join(f"{name} {spent:.1f}" for name, spent in p50.items()))
        print(f"  pyfunc less decoding, over the forward: {above:.3f}; throughput so {1 / above:.3f} of the forward's")
        print(f"  decoding included: {p50['pyfunc'] / p50['forward']:.3f} of the forward's time")


if __name__ == "__main__":
    main(*sys.argv[1:])
