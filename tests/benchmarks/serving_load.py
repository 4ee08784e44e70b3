"""`fracture serve` under load: clients that ask for SECONDS, one request in twenty malformed.

python -m tests.benchmarks.serving_load PTH IMAGE [SECONDS] [CLIENTS] [OPTION OF SERVE...]
"""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections import Counter
from pathlib import Path

import numpy as np
import psutil

from fracture.data.images import decode, letterbox
from fracture.inference.predictor import Predictor
from fracture.models import checkpoint
from tests.benchmarks.machine import machine


def ask(port: int, body: bytes) -> int:
    """Status of one request, -1 where the connection failed."""
    link, began = http.client.HTTPConnection("127.0.0.1", port, timeout=60), time.perf_counter()
    try:
        link.request("POST", "/predict", body, {"content-type": "application/json"})
        reply = link.getresponse()
        reply.read()
        return reply.status
    except (OSError, http.client.HTTPException) as error:
        at, after = time.strftime("%H:%M:%S"), time.perf_counter() - began
        print(f"failed at {at} after {after:.1f} s: {error!r}", file=sys.stderr)
        return -1
    finally:
        link.close()


def client(port: int, good: bytes, until: float, number: int, found: list[tuple[bool, int, float]]) -> None:
    """Ask until the time is over."""
    rng = np.random.default_rng(number)
    while time.perf_counter() < until:
        malformed = rng.random() < 0.05
        began = time.perf_counter()
        status = ask(port, rng.bytes(200) if malformed else good)
        found.append((malformed, status, time.perf_counter() - began))


def bare(pth: str, image: str, rounds: int = 100) -> np.ndarray:
    """Seconds of the module alone on one image, in this process."""
    predictor = Predictor(*checkpoint.load(Path(pth)))
    square = letterbox(decode(Path(image).read_bytes()), predictor.sidecar.image_size)[None]
    found = []
    for _ in range(rounds + 5):
        began = time.perf_counter()
        predictor.logits(square)
        found.append(time.perf_counter() - began)
    return np.array(found[5:])


def burst(port: int, good: bytes, requests: int = 200) -> "Counter[int]":
    """What so many requests at the same moment are answered."""
    found: Counter[int] = Counter()
    asking = [threading.Thread(target=lambda: found.update([ask(port, good)])) for _ in range(requests)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    return found


def main(pth: str, image: str, seconds: float = 60, clients: int = 8, *options: str) -> None:
    """Start a server, load it, print what was seen."""
    alone = bare(pth, image)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "fracture", "serve", pth, "--port", str(port), *options], stdout=subprocess.DEVNULL
    )
    good = json.dumps({"images": [b64encode(Path(image).read_bytes()).decode()]}).encode()
    while ask(port, good) != 200:
        time.sleep(0.5)
        assert server.poll() is None, "the server ended"
    burst(port, good, 48)  # full batches too, which take more memory than one image
    process, found = psutil.Process(server.pid), []
    before = sum(process.cpu_times()[:2])
    resident, until = [process.memory_info().rss], time.perf_counter() + seconds
    asking = [threading.Thread(target=client, args=(port, good, until, i, found)) for i in range(clients)]
    for one in asking:
        one.start()
    while time.perf_counter() < until:
        time.sleep(seconds / 12)
        resident.append(process.memory_info().rss)
    for one in asking:
        one.join()
    spent_cpu = sum(process.cpu_times()[:2]) - before
    burnt = burst(port, good)
    server.terminate()
    server.wait()
    times = np.array([spent for malformed, status, spent in found if not malformed and status == 200])
    p50, p95 = np.quantile(times, [0.5, 0.95])
    print(machine())
    print(f"{clients} clients, {seconds:.0f} s: good {Counter(s for m, s, _ in found if not m)}")
    print(f"malformed {Counter(s for m, s, _ in found if m)}")
    print(f"{len(times) / seconds:.1f} images/s; p50 {p50:.3f} s, p95 {p95:.3f} s")
    print(f"{1000 * spent_cpu / len(times):.1f} ms of processor time an image that was answered")
    once, late = np.quantile(alone, [0.5, 0.95])
    print(f"bare forward of one image, before it, n = {len(alone)}: p50 {once:.3f} s, p95 {late:.3f} s")
    print(f"the server's p95 with {clients} clients is {p95 / once:.1f} times that p50")
    print("resident MiB, every twelfth of the time: " + " ".join(f"{one / 2**20:.0f}" for one in resident))
    print(f"200 requests at once: {dict(burnt)}")


if __name__ == "__main__":
    main(*sys.argv[1:3], *[int(one) for one in sys.argv[3:5]], *sys.argv[5:])
