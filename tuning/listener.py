"""Who is told how a trial goes: Optuna, the tracker and the screen."""

import optuna

from fracture.progress import Terminal, Working
from fracture.training.memory.plan import MemoryPlan
from tuning import tracked
from tuning.messages import Batch, Epoch, Planned
from tuning.task import Task


class Listener:
    """Passes on how a trial goes to Optuna, the tracker and the screen; a `process.Listener`."""

    def __init__(
        self, optuna_trial: optuna.Trial, run: tracked.TrialRun, task: Task, bars: Working, terminal: Terminal
    ) -> None:
        self._optuna_trial, self._run, self._task, self._bars = optuna_trial, run, task, bars
        self._terminal = terminal
        self.values: list[float] = []
        self._epochs: list[Epoch] = []
        self.measured_gib = 0.0
        self._training_seconds = 0.0

    @property
    def best(self) -> float:
        """What the study compares: the metric at the trial's best epoch, of one at least."""
        return min(self.values) if self._task.minimised else max(self.values)

    def _best_epoch(self) -> dict[str, float]:
        """Its number and what validation said of it, named as in a run of training."""
        if not self._epochs:
            return {}
        chosen = self._epochs[self.values.index(self.best)]
        values = {name: value for name, value in chosen.metrics.items() if name.startswith("val_")}
        return {f"best_{name}": value for name, value in values.items()} | {"best_epoch": float(chosen.number)}

    def planned(self, message: Planned) -> None:
        """Log the plan."""
        self._run.planned(message.plan)

    def batch(self, message: Batch) -> None:
        """Show it."""
        self._bars(f"trial {self._optuna_trial.number}, {message.phase}", message.done, message.total)

    def epoch(self, message: Epoch) -> bool:
        """Log it, report it, and ask the pruner."""
        metrics = message.metrics
        self._run.epoch(message)
        self._training_seconds += 0.0 if message.earlier else metrics["epoch_seconds"]
        card = self._task.plan.card
        context = card.context_gib if card else 0.0  # not counted by torch's allocator
        self.measured_gib = max(self.measured_gib, metrics["peak_memory_gib"] + context)
        value = metrics[self._task.config.select_metric]
        self.values.append(value)
        self._epochs.append(message)
        self._bars(f"trial {self._optuna_trial.number}, epochs", message.number, self._task.plan.epochs)
        learned = message.number - self._task.judged_first
        if not learned:
            return True
        self._optuna_trial.report(value, learned)
        return not self._optuna_trial.should_prune()

    def stopping(self, reason: str) -> None:
        """Say it."""
        self._terminal.say(f"{reason}: trial {self._optuna_trial.number} saves how far it has come.")

    def costs(self, seconds: float, plan: MemoryPlan) -> None:
        """Log what the trial has cost, and what it cost beyond its training."""
        found = {
            "seconds": seconds,
            "overhead_seconds": seconds - self._training_seconds,
            "measured_gib": self.measured_gib,
            "predicted_gib": plan.prediction.process_gib,
            "epochs": float(len(self.values)),
        }
        for name, value in found.items():
            self._optuna_trial.set_user_attr(name, round(value, 3))
        self._run.note({f"trial_{name}": value for name, value in found.items()}, step=len(self.values))
        if best := self._best_epoch():
            self._run.note(best, step=0)
