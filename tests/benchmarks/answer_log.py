"""What the answer log costs beside the answers: time in a request's way, processor time behind it, memory.

python -m tests.benchmarks.answer_log IMAGE [ANSWERS] [DIR|ADDRESS]
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from fracture.data.audit import traits
from fracture.data.images import decode
from fracture.inference.log import Served
from fracture.inference.predictor import Answer, Seen
from fracture.monitoring.log import AnswerLog, Policy, place_of
from tests.benchmarks.machine import machine


def main(image: str, count: int = 10_000, address: str = "") -> None:
    """Log as many answers, a millisecond apart, and print what it took."""
    data = Path(image).read_bytes()
    grey = decode(data)
    began = time.process_time()
    for _ in range(100):
        measured = tuple(traits.measure(data, grey).tolist())
    of_traits = (time.process_time() - began) / 100
    said = Answer(
        "fracture reported", "a", True, 0.9, {"a": 0.9, "b": 0.1}, False, seen=Seen(measured, 1.0)
    )  # fmt: skip
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        log = AnswerLog(place_of(address or folder, make=True), Served("m", "1", "w" * 64), Policy(b"k" * 32))
        spent, resident = [], [process.memory_info().rss]
        before = time.process_time()
        for number in range(count):
            began = time.perf_counter()
            log.put([data], [said], 0.1)
            spent.append(time.perf_counter() - began)
            time.sleep(0.001)
            if (number + 1) % (count // 5) == 0:
                resident.append(process.memory_info().rss)
        missing = log.close()
        behind = (time.process_time() - before) / count
    print(machine())
    print(f"{count:,} answers to an image of {grey.shape[1]} x {grey.shape[0]} pixels; missing: {missing or 'none'}")
    print(f"in a request's way: p50 {1e6 * np.median(spent):.0f} us, p95 {1e6 * np.quantile(spent, 0.95):.0f} us")
    print(f"processor time an answer: traits {1e3 * of_traits:.2f} ms, row and writing {1e3 * behind:.2f} ms")
    print("resident MiB: " + " ".join(f"{one / 2**20:.0f}" for one in resident))


if __name__ == "__main__":
    main(sys.argv[1], *[int(one) for one in sys.argv[2:3]], *sys.argv[3:4])
