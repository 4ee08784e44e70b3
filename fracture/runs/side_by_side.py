"""Runs of a group side by side: each in a process of its own, on a GPU of its own, from one queue."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from fracture.config import TrainConfig, changed
from fracture.errors import Interrupted
from fracture.progress import Terminal
from fracture.runs.gpus import VARIABLE

INTERRUPTED = 6  # exit code of a run that can go on


@dataclass
class SideBySide:
    """Trains members of a group on several GPUs.

    A single run on several GPUs is not offered: 20,000 images fit one card, and members scale out instead.

    Attributes:
        parent: id of the group.
        gpus: as CUDA_VISIBLE_DEVICES names them.
        folder: where each member's output goes.
        terminal: shows when a member begins and ends.
    """

    parent: str
    gpus: Sequence[str]
    folder: Path
    terminal: Terminal
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _stopped: bool = False

    def train(self, members: dict[str, TrainConfig]) -> dict[str, str]:
        """Train all members; why each that failed did, by name.

        Raises:
            Interrupted: a signal stopped it; each member has saved how far it has come.
        """
        free: SimpleQueue[str] = SimpleQueue()
        for gpu in self.gpus:
            free.put(gpu)
        self.folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(len(self.gpus)) as pool, self._ended_by_signals():
            codes = dict(
                zip(members, pool.map(lambda name: self._one(name, members[name], free), members), strict=True)
            )
        if self._stopped or INTERRUPTED in codes.values():
            raise Interrupted("interrupted")
        return {name: self._reason(name, code) for name, code in codes.items() if code}

    def log(self, name: str) -> Path:
        """Where the output of a member goes."""
        return self.folder / f"{name.replace('/', '_').replace(' ', '-')}.log"

    def _one(self, name: str, config: TrainConfig, free: "SimpleQueue[str]") -> int:
        gpu = free.get()
        try:
            if self._stopped:
                return INTERRUPTED
            settings = self.log(name).with_suffix(".json")
            settings.write_text(json.dumps(changed(config)), encoding="utf-8")
            self.terminal.say(f"{name}: on GPU {gpu}, output in {self.log(name)}")
            environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
            with self.log(name).open("ab") as output:
                process = self._running[name] = subprocess.Popen(
                    self.command(settings), env=environment | {VARIABLE: gpu}, stdout=output, stderr=subprocess.STDOUT,
                    start_new_session=True,  # a Ctrl-C reaches it once, through this process
                )  # fmt: skip
            code = process.wait()
            self.terminal.say(f"{name}: {'done' if code == 0 else f'ended with exit code {code}'}")
            return code
        finally:
            free.put(gpu)

    def command(self, settings: Path) -> list[str]:
        """The command that trains one member."""
        return [sys.executable, "-m", "fracture", "train", "--config", str(settings), "--parent", self.parent]

    @contextmanager
    def _ended_by_signals(self) -> Iterator[None]:
        """Pass SIGINT and SIGTERM on to the members, which save how far they have come, and wait for them."""

        def stop(number: int, _: FrameType | None) -> None:
            self._stopped = True
            for process in self._running.values():
                if process.poll() is None:
                    process.send_signal(number)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _reason(self, name: str, code: int) -> str:
        """The last that a member has said."""
        lines = [line for line in self.log(name).read_text(encoding="utf-8", errors="replace").splitlines() if line]
        return f"exit code {code}: {lines[-1][:300] if lines else 'gave no reason'} (all of it: {self.log(name)})"
