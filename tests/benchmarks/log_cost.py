"""What the answer log costs who asks: two servers in one process, one with it, asked in turn by clients of another.

python -m tests.benchmarks.log_cost IMAGE [ROUNDS] [CLIENTS] [BACKBONE]

A round is 5 requests a client to one server, then as many to the other; who is first changes. Weights are random.
"""

import json
import multiprocessing
import sys
import tempfile
import threading
import time
from base64 import b64encode
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import torch
import uvicorn

from fracture.inference.log import Served
from fracture.inference.predictor import Predictor
from fracture.inference.request import Limits
from fracture.inference.web import application
from fracture.models import backbones, checkpoint
from fracture.monitoring.log import AnswerLog, Policy, place_of
from tests.benchmarks.machine import machine
from tests.benchmarks.serving_load import ask

REQUESTS = 5


def small(name: str) -> Predictor:
    """A model with random weights, of its own size."""
    backbone = backbones.find(name)
    model = backbones.build(backbone, 3)
    sidecar = checkpoint.Sidecar(
        model=backbone.name, classes=("a", "b", "c"), image_size=224, mean=backbone.mean, std=backbone.std,
        parameters=1, weights_sha256=checkpoint.weights_sha256(model.state_dict()), epoch=1, synthetic=False,
        license="none",
    )  # fmt: skip
    return Predictor(model, sidecar)


def start(predictor: Predictor, log: AnswerLog | None) -> int:
    """Serve in a thread; the port."""
    server = uvicorn.Server(
        uvicorn.Config(application(predictor, Limits(), log=log), port=0, log_level="warning")
    )  # fmt: skip
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return int(server.servers[0].sockets[0].getsockname()[1])


def once(port: int, body: bytes, clients: int) -> list[float]:
    """Seconds of each request of a round to one server."""
    found: list[float] = []

    def client() -> None:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            assert ask(port, body) == 200
            found.append(time.perf_counter() - began)

    asking = [threading.Thread(target=client) for _ in range(clients)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    return found


def clients_of(ports: tuple[int, int], body: bytes, rounds: int, clients: int, out: "SimpleQueue[object]") -> None:
    """Ask both in turn; seconds [server, round, request] go to ``out``."""
    for port in ports:
        once(port, body, clients)  # warm
    seconds: list[list[list[float]]] = [[], []]
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            seconds[which].append(once(ports[which], body, clients))
    out.put(seconds)


def main(image: str, rounds: int = 40, clients: int = 8, backbone: str = "tf_efficientnet_lite0") -> None:
    """Measure and print."""
    torch.manual_seed(0)
    body = json.dumps({"images": [b64encode(Path(image).read_bytes()).decode()]}).encode()
    with tempfile.TemporaryDirectory() as folder:
        log = AnswerLog(place_of(folder, make=True), Served("m", "1", "w" * 64), Policy(b"k" * 32))
        without = small(backbone)
        logged = Predictor(without.module, without.sidecar)  # the same tensors: two copies differ by more than a log
        logged.watched = True
        ports = start(without, None), start(logged, log)
        spawn = multiprocessing.get_context("spawn")
        out = spawn.SimpleQueue()
        asking = spawn.Process(target=clients_of, args=(ports, body, rounds, clients, out))
        asking.start()
        seconds = np.array(out.get())
        asking.join()
        missing = log.close()
    print(f"{machine()}\n{backbone}, {clients} clients, {rounds} rounds of {REQUESTS * clients} requests to each")
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, rounds, (2000, rounds))
    for share in (0.5, 0.95):
        before, after = np.quantile(seconds.reshape(2, -1), share, axis=1)
        ratios = [np.divide(*np.quantile(seconds[::-1, one].reshape(2, -1), share, axis=1)) - 1 for one in drawn]
        low, high = np.quantile(ratios, (0.025, 0.975))
        print(
            f"p{100 * share:.0f}: {before:.3f} s without, {after:.3f} s with the log: {after / before - 1:+.1%} "
            f"[{low:+.1%}, {high:+.1%}] (bootstrap over rounds)"
        )
    print(f"rows missing: {missing or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1], *[int(one) for one in sys.argv[2:4]], *sys.argv[4:5])
