"""The end of a study: the best values, the command that trains with them, tables and pictures on the study's run."""

import csv
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field

from fracture.errors import FractureError, MemoryLimitError
from fracture.files import write_json
from fracture.progress import Terminal
from fracture.tracking.run import TrackedRun
from tuning import figures, study
from tuning.record import StudyRecord

SUMMARY, TABLE = "study.json", "trials.csv"
_SHOWN = 5
_ENDS = {TrialState.FAIL: "failed"}  # other states are called as by Optuna
_LEAST = 10  # complete trials that importances are told of
_COSTS = ("epochs", "seconds", "overhead_seconds", "predicted_gib", "measured_gib")


class Summary(BaseModel):
    """study.json: what a study was, and what it came to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str = Field(description="its name in the storage")
    record: StudyRecord = Field(description="its settings, its space, and why each batch is in it or not")
    metric: str = Field(description="what trials were judged by")
    best_trial: int = Field(description="number of the best trial")
    best_value: float = Field(description="its metric, at its best epoch, on validation")
    best_values: dict[str, float] = Field(description="what it tried")
    importances: dict[str, float] = Field(
        description="share of the variance by fANOVA; empty of fewer than ten complete trials"
    )
    states: dict[str, int] = Field(description="trials by state")
    seconds: float = Field(description="of all trials together")
    command: str = Field(description="trains with the best values")


def summarise(own: optuna.Study, record: StudyRecord, command: str) -> Summary:
    """What a study came to.

    Raises:
        MemoryLimitError: no trial is complete, and some did not fit.
        FractureError: no trial is complete.
    """
    found, metric = study.best(own), record.config.select_metric
    trials = own.get_trials(deepcopy=False)
    if found is None or found.value is None:
        unfit = sum(one.constraints.get("memory_gib", 0.0) > 0 for one in trials)
        kind = MemoryLimitError if unfit else FractureError
        raise kind(
            f"study {own.study_name}: none of {len(trials)} trials is complete and within the limit ({unfit} did not "
            "fit); the reasons are on their runs. Try a lower lr_high, or a smaller batch_high."
        )
    return Summary(
        study=own.study_name,
        record=record,
        metric=metric,
        best_trial=found.number,
        best_value=found.value,
        best_values={name: float(value) for name, value in found.params.items()},
        importances=importances(own),
        states={state.name: sum(one.state is state for one in trials) for state in TrialState},
        seconds=sum(float(one.user_attrs.get("seconds", 0.0)) for one in trials),
        command=command,
    )


def importances(own: optuna.Study) -> dict[str, float]:
    """How much of the differences between complete trials each parameter explains (fANOVA, Hutter et al. 2014).

    Empty where there are fewer than ten, which would explain each other whatever the parameters.
    """
    done = own.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < _LEAST or len({one.value for one in done}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        found: Mapping[str, float] = optuna.importance.get_param_importances(own, evaluator=evaluator)
    except (ValueError, RuntimeError):  # too few trials, or all alike
        return {}
    return dict(found)


def publish(summary: Summary, own: optuna.Study, run: TrackedRun) -> None:
    """Put tables, pictures and the best values on the study's run; figures that another process has told, once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_json(folder / SUMMARY, summary.model_dump(mode="json"))
        _write_table(own, folder / TABLE)
        for picture, figure in figures.draw(own, summary.metric, summary.importances).items():
            figure.savefig(folder / f"{picture}.png", bbox_inches="tight")
        run.evidence(folder, only=sorted(path.name for path in folder.iterdir()))
    states = {f"trials_{state.lower()}": float(count) for state, count in summary.states.items()}
    values = {f"best_{name}": value for name, value in summary.best_values.items()}
    best, step = f"best_{summary.metric}", sum(one.state.is_finished() for one in own.trials) - 1
    if step not in run.logged_steps(best):
        run.metrics(states | values | {best: summary.best_value}, step=step)
    run.describe(markdown(summary, counted_by_end(own)))


def show(summary: Summary, own: optuna.Study, terminal: Terminal) -> None:
    """The best trials, what matters, and what to do next."""
    rows = [_cells(one) for one in study.ranked(own)[:_SHOWN]]
    names = list(summary.best_values)
    columns = ["trial", summary.metric, *names, "epochs", "seconds", "GiB taken", "GiB predicted"]
    terminal.table(f"Study {summary.study}: {counted_by_end(own)}", columns, rows)
    if summary.importances:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in summary.importances.items())
        terminal.say(f"Share of the variance explained: {shares} (fANOVA over complete trials).")
    else:
        terminal.say(
            f"Which parameter matters is not known: fewer than {_LEAST} trials are complete, or all came out alike."
        )
    terminal.say(
        "The best of many trials on validation looks better than it is; no trial has seen the test split.\n"
        f"Train with the best values:\n  {summary.command}"
    )


def counted_by_end(own: optuna.Study) -> str:
    """How many trials came to which end; one that was stopped and is tried again has failed for Optuna only."""
    trials = own.get_trials(deepcopy=False)
    again = {number for one in trials for number in one.system_attrs.get("retry_history", [])}
    counts = Counter(
        "interrupted and tried again" if one.number in again else _ENDS.get(one.state, one.state.name.lower())
        for one in trials
    )
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def _cells(one: FrozenTrial) -> list[str]:
    costs = one.user_attrs
    return [
        str(one.number), f"{one.value:.4f}", *(f"{value:.4g}" for value in one.params.values()),
        f"{costs.get('epochs', 0):.0f}", f"{costs.get('seconds', 0):.1f}", f"{costs.get('measured_gib', 0):.2f}",
        f"{costs.get('predicted_gib', 0):.2f}",
    ]  # fmt: skip


def _write_table(own: optuna.Study, path: Path) -> None:
    trials = own.get_trials(deepcopy=False)
    names = list(dict.fromkeys(name for one in trials for name in one.params))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "state", "value", *names, *_COSTS, "reason", "run"])
        for one in trials:
            value = "" if one.value is None else one.value
            attrs = one.user_attrs
            writer.writerow(
                [one.number, one.state.name, value, *(one.params.get(name, "") for name in names),
                 *(attrs.get(name, "") for name in _COSTS), attrs.get("reason", ""), attrs.get(study.RUN, "")]
            )  # fmt: skip


def markdown(summary: Summary, counts: str) -> str:
    """The study in words, as MLflow shows it; ``counts`` of its trials."""
    values = ", ".join(f"`{name}={value:.4g}`" for name, value in summary.best_values.items())
    verdicts = "\n".join(
        f"| {one.batch_size} | {one.process_gib:.2f} | {'yes' if one.plan else 'no'} | {one.reason} |"
        for one in summary.record.verdicts
    )
    return (
        f"**Study {summary.study}**: {counts}; {summary.seconds / 60:.1f} minutes of trials.\n\n"
        f"Best: trial {summary.best_trial}, {summary.metric} **{summary.best_value:.4f}** on validation, {values}. The "
        "best of many on one validation split is optimistic; no trial has opened the test split.\n\n"
        f"Train with it:\n\n    {summary.command}\n\n"
        f"Batches under {summary.record.tuning.memory_limit_gib:g} GiB:\n\n"
        f"| batch | predicted GiB | searched | why |\n|---|---|---|---|\n{verdicts}\n\n"
        "Research software, not a medical device."
    )
