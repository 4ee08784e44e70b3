"""Which process does a piece of work, and whether it is gone: told by its id and beginning, on its own machine only."""

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

_CLOCK = 60  # seconds that a process's beginning may seem to have moved, where only the clock tells it


def me() -> dict[str, str | int | float]:
    """The process at hand, told apart from every other one on every machine."""
    began = {"began": psutil.Process().create_time(), "tick": _tick(os.getpid())}
    return {"machine": _machine(), "pid": os.getpid(), **began}


def read(text: str) -> dict[str, str | int | float]:
    """What `me` said, as a tag holds it; nothing where somebody has edited that."""
    with contextlib.suppress(ValueError):
        said = json.loads(text)
        if isinstance(said, dict) and isinstance(said.get("pid"), int) and isinstance(said.get("began"), float):
            return said
    return {}


def is_gone(process: Mapping[str, str | int | float]) -> bool:
    """Whether a process that `me` described ran on this machine and runs no more."""
    theirs, ours = str(process.get("machine", "")), _machine()
    if theirs != ours:
        there, here = theirs.split("-"), ours.split("-")
        return len(there) == len(here) and there[0] == here[0] and there[1] != here[1]  # it was started again since
    try:
        found = psutil.Process(int(process["pid"]))
        if (tick := _tick(found.pid)) and process.get("tick"):
            same = tick == process["tick"]
        else:
            same = abs(found.create_time() - float(process["began"])) <= _CLOCK  # moves when the clock is set
        return not same or bool(found.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def is_me(process: Mapping[str, str | int | float]) -> bool:
    """Whether `me` described the process at hand."""
    return is_seen(process) and process.get("pid") == os.getpid()


def is_seen(process: Mapping[str, str | int | float]) -> bool:
    """Whether a process that `me` described would be seen from here, where it still ran."""
    return process.get("machine") == _machine()


def is_launched(run_id: str, begun: float) -> bool:
    """Whether a process has been given a run, or an older ``mlflow run`` still prepares the environment for it.

    Args:
        run_id: of the run.
        begun: when it was made, in seconds since 1970.
    """
    for one in psutil.process_iter(["cmdline", "create_time"]):
        words = one.info["cmdline"] or []
        if "run" in words and any(Path(word).name == "mlflow" for word in words) and one.info["create_time"] <= begun:
            return True
        with contextlib.suppress(psutil.Error, OSError):
            if one.environ().get("MLFLOW_RUN_ID") == run_id:
                return True
    return False


def _tick(pid: int) -> int:
    """When a process began, in ticks since the machine did, which no setting of the clock moves; 0 where not Linux."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # a program's name may hold anything
    return int(fields[19]) if fields else 0


def _machine() -> str:
    """The host, its start and, on Linux, the container, as digests: process ids mean nothing elsewhere."""
    boot, space = _read("/proc/sys/kernel/random/boot_id"), ""
    with contextlib.suppress(OSError):  # not Linux
        space = str(Path("/proc/self/ns/pid").readlink())
    host = f"{socket.gethostname()} {_read('/etc/machine-id') or boot}"  # a name alone may be that of many machines
    return "-".join(hashlib.sha256(part.encode()).hexdigest()[:8] for part in (host, boot, space))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
