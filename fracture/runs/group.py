"""Several backbones, one after the other: a run each under one parent, continued by the same command."""

import hashlib
import json

from fracture.config import TrainConfig, as_text
from fracture.errors import FractureError, Interrupted
from fracture.evidence import Results
from fracture.progress import Terminal, shown
from fracture.runs import session
from fracture.runs.session import Session
from fracture.tracking import query
from fracture.tracking.run import TrackedRun


def train_group(config: TrainConfig, names: list[str], terminal: Terminal, again: str) -> None:
    """Train each backbone of ``names``.

    Raises:
        FractureError: some failed; the others are done, and the same command goes on with what is missing.
        Interrupted: a signal asked for it; the same command goes on.
    """
    key = hashlib.sha256(json.dumps(as_text(config), sort_keys=True).encode()).hexdigest()[:16]
    parent = _open_parent(key, names, terminal)
    failed: dict[str, str] = {}
    done: dict[str, Results] = {}
    try:
        for name in names:
            _one(config.model_copy(update={"model": name}), Session(terminal, parent.id, again), done, failed)
    except (Interrupted, KeyboardInterrupt) as stop:
        parent.end("KILLED", str(stop) or "interrupted")
        raise Interrupted(f"{str(stop) or 'interrupted'}\nThe whole group goes on with:\n  {again}") from stop
    _show(done, failed, terminal)
    parent.end("FAILED" if failed else "FINISHED", "; ".join(f"{name}: {why}" for name, why in failed.items()))
    if failed:
        reasons = "\n".join(f"- {name}: {why}" for name, why in failed.items())
        raise FractureError(
            f"{len(failed)} of {len(names)} models failed:\n{reasons}\nGo on with what is missing:\n  {again}"
        )


def _open_parent(key: str, names: list[str], terminal: Terminal) -> TrackedRun:
    """The unfinished group of an earlier run of the same command, else a new one."""
    earlier = query.find_group(key)
    if earlier is None:
        parent = TrackedRun.begin(f"{len(names)} models", watched=False)
    else:
        terminal.say(f"Continuing group {earlier}")
        parent = TrackedRun.go_on(earlier, watched=False)
    parent.tag({"fracture.kind": "group", "fracture.group_key": key})
    return parent


def _one(config: TrainConfig, part: Session, done: dict[str, Results], failed: dict[str, str]) -> None:
    """Train, take up or skip one backbone of the group."""
    assert part.parent is not None
    earlier = query.child(part.parent, config.model)
    if earlier is not None and earlier.info.status == "FINISHED":
        part.terminal.say(f"{config.model}: done before, run {earlier.info.run_id}")
        return
    part.terminal.say(f"\n{config.model}", style="bold")
    try:
        if earlier is not None and session.can_go_on(earlier.info.run_id):
            done[config.model] = session.resume(earlier.info.run_id, part)
        else:
            done[config.model] = session.train(config, part)
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 - one model must not stop the rest, whatever it fails of
        failed[config.model] = str(error) or type(error).__name__
        part.terminal.warn(f"{config.model} failed: {failed[config.model]}")


def _show(done: dict[str, Results], failed: dict[str, str], terminal: Terminal) -> None:
    rows = [
        [
            name,
            shown(r.splits["test"].metrics["macro_f1"]),
            shown(r.splits["test"].metrics["balanced_accuracy"]),
            f"{r.seconds:.0f} s",
        ]
        for name, r in done.items()
    ]
    rows += [[name, "failed", "", ""] for name in failed]
    terminal.table("Trained", ["model", "test macro F1", "test balanced accuracy", "training"], rows)
