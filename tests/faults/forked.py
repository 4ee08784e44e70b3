"""Real commands in children of one process that has imported everything, so that a kill costs a second and not ten."""

import atexit
import contextlib
import importlib
import os
import pkgutil
import re
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = {"fracture": ("fracture.__main__", "cli"), "registry": ("registry.__main__", "cli"),
            "tuning": ("tuning.__main__", "cli")}  # fmt: skip
_LATE = (
    "mlflow",
    "mlflow.pytorch",
    "matplotlib.pyplot",
    "optuna",
    "sklearn.linear_model",
    "scipy.stats",
    "torch.export",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code; negative: the signal that killed it; None: it was stopped, for it took too long.
        seconds: that it took.
        said: all that it printed.
    """

    code: int | None
    seconds: float
    said: str


def preload() -> None:
    """Import what the commands import, and start no thread."""
    for package in ("fracture", "registry", "tuning"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):  # of an extra that is not installed
                    importlib.import_module(module.name)
    for name in (*_LATE, *(module for module, _ in PROGRAMS.values())):
        importlib.import_module(name)


@dataclass(frozen=True)
class Started:
    """A command at work.

    Attributes:
        pid: of its process, which leads a group of its own.
        began: when, by the monotonic clock.
        log: the file that holds all that it prints.
    """

    pid: int
    began: float
    log: Path

    def end(self, kill_after: float | None = None, limit: float = 600) -> Ended:
        """Wait for its end; see `run`."""
        code = _wait(self.pid, self.began + (limit if kill_after is None else kill_after))
        hangs = code is None and kill_after is None
        for kill in (os.killpg, os.kill) if code is None else (os.killpg,):  # it may not lead its group yet
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)  # of a command that has ended by itself, what it has left running
        if code is None:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return Ended(None if hangs else code, time.monotonic() - self.began, said)


def start(words: tuple[str, ...], root: Path, store: str = "", log: str = "log") -> Started:
    """Start a command in a process group of its own.

    Args:
        words: the program (fracture, registry, tuning) and its arguments.
        root: the folder that it works in.
        store: the address of its tracking store; empty for the database in ``root``.
        log: name of the file beside ``root`` for what it prints.
    """
    place, began = root.parent / log, time.monotonic()
    place.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _become(words, root, place, store or f"sqlite:///{root / 'mlflow.db'}")
    return Started(child, began, place)


def run(words: tuple[str, ...], root: Path, kill_after: float | None = None, limit: float = 600) -> Ended:
    """Run a command to its end, see `start`.

    Args:
        words: the command.
        root: the folder that it works in.
        kill_after: seconds after which the whole group is killed, where it has not ended by then.
        limit: seconds after which it is stopped as one that hangs.
    """
    return start(words, root).end(kill_after, limit)


def line(words: tuple[str, ...]) -> str:
    """As a person would write it."""
    return " ".join(words if words[0] == "fracture" else ("python -m", *words))


def names_of_runs(said: str) -> list[str]:
    """Runs that a text says can go on."""
    return re.findall(r"--resume (\w{32})", said)


def _wait(child: int, until: float) -> int | None:
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def _become(words: tuple[str, ...], root: Path, log: Path, store: str) -> None:
    """Be the command, in the child; never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(root)
        os.environ["MLFLOW_TRACKING_URI"] = store
        os.environ["FRACTURE_CACHE_DIR"] = str(root / "cache")
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
        sys.argv = list(words)
        code = _called(words[0])
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001 - the parent's stack must not be unwound here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _called(program: str) -> int:
    from fracture.__main__ import run as as_command

    module, name = PROGRAMS[program]
    try:
        as_command(getattr(sys.modules[module], name), program)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
