"""Several runs under one parent, continued by the same command: backbones, or folds.

One after the other; with several GPUs side by side, one on each.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fracture.config import TrainConfig, as_text
from fracture.errors import ConfigError, DataError, FractureError, Interrupted, MemoryLimitError
from fracture.evidence import Results, read_kept
from fracture.failures import explained
from fracture.models import backbones
from fracture.models import weights as initial_weights
from fracture.progress import Terminal
from fracture.runs import gpus, resume, session, states
from fracture.runs.session import Session
from fracture.runs.settings import same
from fracture.runs.side_by_side import SideBySide
from fracture.tables import shown
from fracture.tracking import artifacts, query
from fracture.tracking.run import TrackedRun

_SHOWN = ("test_macro_f1", "test_balanced_accuracy")


def train_group(config: TrainConfig, names: list[str], terminal: Terminal, resume_command: str) -> None:
    """Train each backbone of ``names``.

    Raises:
        ConfigError: the weights are a file, and not that of each of them.
        FractureError: some failed; the others are done, and the same command goes on with what is missing.
        Interrupted: a signal stopped it; the same command goes on.
    """
    if config.weights not in initial_weights.WORDS:  # a file fits one backbone only, so that one here must be wrong
        for backbone in map(backbones.find, names):
            found = initial_weights.find(config.weights, backbone, config.weights_license)
            initial_weights.check(found, backbone, backbone.image_size(config.image_size))
    train_members(config, "model", names, terminal, resume_command)


def train_members(
    config: TrainConfig,
    setting: str,
    values: Sequence[str | int],
    terminal: Terminal,
    resume_command: str,
    finish: Callable[[TrackedRun], None] | None = None,
) -> None:
    """Train one run below a common parent for each value of a setting; ``finish`` adds to the parent once all are done.

    Raises:
        FractureError: some failed; the others are done, and the same command goes on with what is missing.
        Interrupted: a signal stopped it; the same command goes on.
    """
    parent = _open_parent(_unfinished(config, setting, values), _title(config, setting, len(values)), terminal)
    parent.params(as_text(config))
    failed: dict[str, Exception] = {}
    done: dict[str, Results] = {}
    members = {_name(setting, value): config.model_copy(update={setting: value}) for value in values}
    try:
        failed |= _on_several_gpus(members, setting, parent.id, terminal)
        for name, member in members.items():
            if name not in failed:
                _one(member, setting, Session(terminal, parent.id, resume_command), done, failed)
        _show(setting, done, failed, terminal)
        if finish is not None and not failed:
            finish(parent)
        _describe(parent, setting)
    except (Interrupted, KeyboardInterrupt) as stop:
        reason = str(stop) or "interrupted"
        parent.end("KILLED", reason)
        raise Interrupted(
            reason if resume_command in reason else f"{reason}\nGo on with:\n  {resume_command}"
        ) from stop
    except Exception as refused:  # for what no other member could do better, or all of them together
        away = explained(refused)
        parent.end("KILLED" if isinstance(away, Interrupted) else "FAILED", str(away or refused))
        if isinstance(away, Interrupted):
            raise Interrupted(f"{away}\nGo on with:\n  {resume_command}") from refused
        raise
    parent.end("FAILED" if failed else "FINISHED", "; ".join(f"{name}: {_said(why)}" for name, why in failed.items()))
    if failed:
        reasons = "\n".join(f"- {name}: {_said(why)}" for name, why in failed.items())
        raise _common(failed.values())(
            f"{len(failed)} of {len(values)} {setting}s failed:\n{reasons}\nGo on with what is missing:\n"
            f"  {resume_command}"
        )


def train_member(config: TrainConfig, part: Session) -> None:
    """Train, take up or skip the member of a group that ``config`` describes, in the process of its own that it has.

    Raises:
        FractureError: it failed.
        Interrupted: a signal stopped it; the group's command goes on.
    """
    failed: dict[str, Exception] = {}
    _one(config, "fold" if config.folds > 1 else "model", part, {}, failed)
    for error in failed.values():
        raise error


def _on_several_gpus(
    members: dict[str, TrainConfig], setting: str, parent: str, terminal: Terminal
) -> dict[str, Exception]:
    """Train the members that are not done side by side, where there are GPUs for that; the failures."""
    device = next(iter(members.values())).device
    names = [] if device == "cpu" else gpus.visible()
    left = {name: one for name, one in members.items() if not _is_done(one, setting, parent)}
    if len(names) < 2 or len(left) < 2:
        return {}
    terminal.say(f"{len(left)} runs on {min(len(left), len(names))} GPUs ({', '.join(names)}), a GPU each.")
    found = SideBySide(parent, names, states.state_folder(parent), terminal).train(left)
    return {name: FractureError(why) for name, why in found.items()}


def _is_done(config: TrainConfig, setting: str, parent: str) -> bool:
    earlier = query.child(parent, setting, as_text(config)[setting])
    return earlier is not None and earlier.info.status == "FINISHED"


def _name(setting: str, value: str | int) -> str:
    """What a member is called on the screen."""
    return str(value) if setting == "model" else f"{setting} {value}"


def _unfinished(config: TrainConfig, setting: str, values: Sequence[str | int]) -> str | None:
    """The newest unfinished group with the same settings; in an earlier version only its members have them."""
    whole, names = {setting: as_text(config)[setting]}, set(map(str, values))
    for group in query.unfinished_groups():
        members = [] if group.params else query.children(group.id, "train")
        own = [one.params | whole for one in members if one.params.get(setting) in names]
        if any(same(params, config) for params in [group.params, *own]):
            return group.id
    return None


def _title(config: TrainConfig, setting: str, count: int) -> str:
    model = f" of {config.model}" if setting != "model" else ""
    return f"{count} {setting}s{model} on {Path(config.data).stem or config.data}"


def _describe(parent: TrackedRun, setting: str) -> None:
    """What MLflow shows of the group: its members with their scores, and the data that they share."""
    members = sorted(query.children(parent.id, "train"), key=lambda run: run.params.get(setting, ""))
    if members:
        parent.take_inputs(members[0].id)
    parent.describe(markdown(members, setting))


def markdown(members: Sequence[query.Found], setting: str) -> str:
    """A table of a group's members for its description; folds are their parent's metrics besides."""
    lines = [
        f"| {run.params.get(setting, '')} | {run.status} | "
        + " | ".join(f"{run.metrics[name]:.3f}" if name in run.metrics else "" for name in _SHOWN)
        + f" | `{run.id[:8]}` |"
        for run in members
    ]
    head = [f"| {setting} | | test macro F1 | test balanced accuracy | run |", "|---|---|---|---|---|"]
    more = "folds.json and this run's metrics have the means over the folds with their intervals.\n\n"
    note = "Research software, not a medical device."
    return "\n".join([*head, *lines, "", (more if setting == "fold" else "") + note])


def _open_parent(earlier: str | None, title: str, terminal: Terminal) -> TrackedRun:
    """The unfinished group of an earlier run of the same command, else a new one."""
    if earlier is None:
        return TrackedRun.begin(title, "group", watched=False)
    terminal.say(f"Continuing group {earlier}")
    return TrackedRun.go_on(earlier, watched=False)


def _said(error: Exception) -> str:
    """What an error says, its kind where it says nothing."""
    return str(error) or type(error).__name__


def _common(errors: Iterable[Exception]) -> type[FractureError]:
    """The kind of all errors, which has an exit code, or that of anything unforeseen."""
    kinds = {type(error) for error in errors}
    kind = kinds.pop()
    return kind if not kinds and issubclass(kind, FractureError) else FractureError


def _one(
    config: TrainConfig, setting: str, part: Session, done: dict[str, Results], failed: dict[str, Exception]
) -> None:
    """Train, take up or skip one run of the group.

    Raises:
        FractureError: the rest would be refused for the same: the data, and of folds anything that is foreseen.
        Interrupted: a signal stopped it.
    """
    assert part.parent is not None
    value = as_text(config)[setting]
    name = _name(setting, value)
    earlier = query.child(part.parent, setting, value)
    if earlier is not None and earlier.info.status == "FINISHED":
        part.terminal.say(f"{name}: done, run {earlier.info.run_id}")
        done[name] = _results(earlier.info.run_id)
        return
    part.terminal.say(f"\n{name}", style="bold")
    try:
        if earlier is not None and resume.can_go_on(earlier.info.run_id):
            done[name] = resume.resume(earlier.info.run_id, part)
        else:
            done[name] = session.train(config, part)
    except (Interrupted, DataError):
        raise
    except Exception as error:
        if isinstance(away := explained(error), Interrupted):
            raise away from error
        if setting == "fold" and isinstance(error, ConfigError | MemoryLimitError):
            raise
        failed[name] = error
        part.terminal.warn(f"{name} failed: {_said(error)}")


def _results(run_id: str) -> Results:
    with tempfile.TemporaryDirectory() as folder:
        artifacts.fetch(run_id, ["results.json"], Path(folder))
        return read_kept(Results, Path(folder) / "results.json", run_id)


def _show(setting: str, done: dict[str, Results], failed: Iterable[str], terminal: Terminal) -> None:
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
    terminal.table("Trained", [setting, "test macro F1", "test balanced accuracy", "training"], rows)
