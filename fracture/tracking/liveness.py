"""Which process does a piece of work, and whether it is gone: told by its id and beginning, on its own machine only."""

import hashlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

_CLOCK = 60  # seconds that a process's beginning may seem to have moved


def me() -> dict[str, str | int | float]:
    """The process at hand, told apart from every other one on every machine."""
    return {"machine": _machine(), "pid": os.getpid(), "began": psutil.Process().create_time()}


def is_gone(process: Mapping[str, str | int | float]) -> bool:
    """Whether a process that `me` described ran on this machine and runs no more."""
    if process.get("machine") != _machine():
        return False
    try:
        found = psutil.Process(int(process["pid"]))
        apart = abs(found.create_time() - float(process["began"]))  # moves when the system's clock is set
        return bool(apart > _CLOCK or found.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _machine() -> str:
    """The machine at hand, and on Linux the container: process ids mean nothing in another one. Its name stays here."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        space = boot = ""
    return hashlib.sha256(f"{socket.gethostname()} {boot} {space}".encode()).hexdigest()[:12]
