"""Real commands in children of one process that has imported everything, so that one costs a second and not ten.

`run` and `start` fork this process, which must have no threads; `call` has a process forked from the one that pytest
starts for that, see the fixture ``forked``.
"""

import atexit
import contextlib
import importlib
import multiprocessing
import os
import pkgutil
import re
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

PROGRAMS = {"fracture": ("fracture.__main__", "cli"), "registry": ("registry.__main__", "cli"),
            "tuning": ("tuning.__main__", "cli")}  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]
_CONTEXT = multiprocessing.get_context("forkserver")
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
        store = store or f"sqlite:///{root / 'mlflow.db'}"
        _become(words, root, place, {"MLFLOW_TRACKING_URI": store, "FRACTURE_CACHE_DIR": str(root / "cache")})
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


def _become(words: tuple[str, ...], root: Path, log: Path, variables: dict[str, str]) -> None:
    """Be the command, in the child; never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(root)
        os.environ |= variables
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", 1, closefd=False) for stream in (1, 2))
        code = {"python": _executed, "mlflow": _mlflow}.get(words[0], _called)(words)
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001 - the parent's stack must not be unwound here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _called(words: tuple[str, ...]) -> int:
    from fracture.__main__ import run as as_command

    sys.argv = list(words)
    module, name = PROGRAMS[words[0]]
    try:
        as_command(getattr(sys.modules[module], name), words[0])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _executed(words: tuple[str, ...]) -> int:
    """As `python -c` does with a text."""
    sys.argv = ["-c", *words[2:]]
    try:
        exec(words[1], {"__name__": "__main__"})
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception:  # noqa: BLE001 - shown, as Python does
        traceback.print_exc()
        return 1
    return 0


def _mlflow(words: tuple[str, ...]) -> int:
    """Its own command; a server works in this process instead of one that it would start."""
    import mlflow.cli
    import mlflow.server

    def here(command: list[str], extra_env: dict[str, str], **_: object) -> None:
        import uvicorn

        os.environ |= extra_env
        uvicorn.main(command[3:])

    mlflow.server._exec_cmd = here
    sys.argv = list(words)
    try:
        mlflow.cli.cli(words[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def serve() -> None:
    """Start the process that `call` has its processes forked from; Python 3.11 does not tell it where ``tests`` is."""
    forkserver.set_forkserver_preload(["tests.preloaded"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), before)))
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@dataclass(frozen=True)
class Command:
    """A command at work in a process of its own, which leads a group.

    Attributes:
        process: that was forked.
        log: the file that holds all that it prints.
    """

    process: BaseProcess
    log: Path

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.process.pid or 0

    @property
    def said(self) -> str:
        """All that it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to end."""
        self.process.terminate()

    def kill(self) -> None:
        """End it."""
        self.process.kill()

    def wait(self, limit: float = 300) -> int:
        """Wait for its end; its exit code, negative for a signal that killed it."""
        self.process.join(limit)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise TimeoutError(f"it has not ended in {limit} s: {self.said}")
        return code


def call(words: tuple[str, ...], folder: Path, log: Path | None = None, **variables: str | None) -> Command:
    """Start a command in a process that the fork server forks; the fixture ``forked`` has started that.

    Args:
        words: the program (fracture, registry, tuning, mlflow; or python, with a text to execute) and its arguments.
        folder: that it works in.
        log: file for what it prints, written on; None for one beside ``folder``.
        variables: of its environment, which is otherwise that of this process; None: not set.
    """
    place = log or folder.with_name(f"{folder.name}.{time.monotonic_ns()}.log")
    given = {name: value for name, value in (dict(os.environ) | variables).items() if value is not None}
    process = _CONTEXT.Process(target=_alone, args=(words, folder, place, given))
    process.start()
    return Command(process, place)


def _alone(words: tuple[str, ...], folder: Path, log: Path, variables: dict[str, str]) -> None:
    os.environ.clear()
    _become(words, folder, log, variables)
