"""Everything shown on a terminal: a live display, or plain lines in a pipe, and the log file that gets it all."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fracture.evidence import Decided, Judged
from fracture.privacy import shareable
from fracture.tables import printable, result_tables, study_table, table_of

LOG = logging.getLogger("fracture")
LOG.setLevel(logging.INFO)
LOG.propagate = False
_EARLY = MemoryHandler(10_000, flushLevel=logging.CRITICAL + 1)  # what is said before the run has a log file
LOG.addHandler(_EARLY)
_EPOCHS_SHOWN = 8
_SILENCE = 5.0  # seconds, after which a line says how far something is
_PIPE_WIDTH = 180
_WIDE = 100  # columns of a terminal from which figures have four digits, two spaces apart
_COLUMNS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "lr")

_LEGEND = (
    "* the best epoch so far, by validation   img/s: training images a second   s: seconds the epoch took   "
    "GiB: most memory so far, of 2^30 bytes"
)
_COSTS = (("images_per_second", "img/s", 1), ("epoch_seconds", "s", 1), ("peak_memory_gib", "GiB", 2))


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Everything logged goes to ``path`` too, warnings included, with the time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(_Shareable("%(asctime)s %(levelname)s %(message)s"))
    loggers = (LOG, logging.getLogger("py.warnings"))
    for logger in loggers:
        logger.addHandler(handler)
    _EARLY.setTarget(handler)
    _EARLY.flush()
    LOG.removeHandler(_EARLY)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        _EARLY.setTarget(None)
        LOG.addHandler(_EARLY)
        handler.close()


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short: what could not be written there is said on the screen all the same."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Say nothing: Python would print a traceback for every line."""


class _Shareable(logging.Formatter):
    """Lines, tracebacks included, that others may read: the log goes to MLflow."""

    def format(self, record: logging.LogRecord) -> str:
        return shareable(super().format(record))


class Terminal:
    """What a run says: in place on a terminal, one line an epoch in a pipe."""

    def __init__(self, console: Console | None = None, *, verbose: bool = False) -> None:
        """Write to ``console``, by default the standard output; ``verbose`` shows what is in order too."""
        self.verbose = verbose
        self.console = console or _console()
        self._live: Live | None = None
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._history: list[tuple[int, dict[str, float], bool]] = []
        self._epochs = 0

    def say(self, text: str, style: str = "") -> None:
        """One line for the screen and the log."""
        text = printable(text)
        self.console.print(text, style=style or None, markup=False)
        LOG.info(text)

    def warn(self, text: str) -> None:
        """A warning that nobody can miss."""
        text = printable(text)
        if self.console.is_terminal:
            self.console.print(Panel(Text(text), title="WARNING", border_style="bold yellow", style="yellow"))
        else:
            self.console.print(f"WARNING: {text}", markup=False)
        LOG.warning(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
        """A table; all but the first column are figures. Where it is too wide, a row is a block of lines.

        ``note`` is printed below it.
        """
        title, columns, rows = printable(title), [*map(printable, columns)], [[*map(printable, row)] for row in rows]
        self.console.print(table_of(title, columns, rows, self.console))
        if note:
            self.console.print(printable(note), style="dim", markup=False)
        LOG.info("%s\n%s%s", title, "\n".join("\t".join(row) for row in [columns, *rows]), f"\n{note}" if note else "")

    @contextmanager
    def working(self) -> Iterator["Working"]:
        """Progress of things to do before training: bars, or in a pipe a line now and then."""
        if not self.console.is_terminal:
            yield Working(None, self.say)
            return
        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        with bars:
            yield Working(bars, LOG.info)

    @contextmanager
    def training(self, epochs: int) -> Iterator[None]:
        """The live display of a training run."""
        self._epochs, self._history = epochs, []
        if not self.console.is_terminal:
            yield
            return
        self._bars = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            expand=True,
        )
        self._tasks = {name: self._bars.add_task(name, total=None, note="") for name in ("run", "epoch")}
        try:
            with Live(self._view(), console=self.console, refresh_per_second=4, transient=True) as self._live:
                yield
        finally:  # interrupted too: what is done stays on the screen
            self._live = self._bars = None
            if self._history:
                self.console.print(self._metrics_table(len(self._history)))
                self.console.print(_LEGEND, style="dim", markup=False)

    def earlier(self, history: Sequence[Mapping[str, float]], best: Sequence[bool]) -> None:
        """The epochs that were done before this session, and which of them were the best so far."""
        each = zip(history, best, strict=True)
        self._history = [(number, dict(metrics), is_best) for number, (metrics, is_best) in enumerate(each, start=1)]

    def batch(
        self, phase: str, epoch: int, done: int, total: int, images_per_second: float, seconds_left: tuple[float, float]
    ) -> None:
        """One batch is done; ``seconds_left`` for the epoch and for the run.

        ``phase`` is train or val of ``epoch`` (from 1), or what is done once training has ended.
        """
        if self._bars is None or self._live is None:
            return
        here, all_ = (_clock(seconds) for seconds in seconds_left)
        what, note = f"epoch {epoch}", f"{phase}  {images_per_second:.1f} img/s  {here} left"
        done_epochs, left = epoch - 1, f"{all_} left at most"
        if phase not in ("train", "val"):
            what, note, done_epochs, left = "evaluate", phase, self._epochs, "training has ended"
        self._bars.update(self._tasks["epoch"], completed=done, total=total, note=note, description=what)
        self._bars.update(self._tasks["run"], completed=done_epochs, total=self._epochs, note=left)
        self._live.update(self._view())

    def epoch(self, number: int, metrics: Mapping[str, float], best: bool) -> None:
        """Epoch ``number`` is done."""
        self._history.append((number, dict(metrics), best))
        figures = "  ".join(f"{name} {metrics[name]:.4g}" for name in _COLUMNS)
        cost = "  ".join(f"{metrics[name]:.{digits}f} {unit}" for name, unit, digits in _COSTS)
        line = f"epoch {number}/{self._epochs}  {figures}  {cost}{'  best' if best else ''}"
        LOG.info(line)
        if self._live is None:
            self.console.print(line, markup=False)
        else:
            self._live.update(self._view())

    def results(self, results: Judged) -> None:
        """The test's figures, and what is to be expected of the decisions."""
        for line in result_tables(results, self.console):
            self.console.print(line)
        if results.studies is not None:
            self.console.print(study_table(results.studies, self.console))
        if results.decisions is not None:
            self.decided(results.decisions)
        LOG.info("test: %s", {k: v.value for k, v in results.splits["test"].metrics.items()})

    def decided(self, decisions: Decided) -> None:
        """What thresholds rest on, what is to be expected of them, and what could not be had."""
        self.say(f"Thresholds were fitted on {decisions.basis}. " + " ".join(decisions.promises()))
        for sentence in decisions.unmet:
            self.warn(f"{sentence[0].upper()}{sentence[1:]}.")

    def _view(self) -> Group:
        assert self._bars is not None
        return Group(self._metrics_table(_EPOCHS_SHOWN), self._bars)

    def _metrics_table(self, rows: int) -> Table:
        gap, digits = (2, 4) if self.console.width >= _WIDE else (1, 3)
        table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
        for column in ("epoch", *_COLUMNS, *(unit for _, unit, _ in _COSTS)):
            title = column.replace("balanced_accuracy", "bal. acc").replace("accuracy", "acc").replace("_", " ")
            table.add_column(title, justify="right", no_wrap=" " not in title)  # others give way where room is short
        for number, metrics, best in self._history[-rows:]:
            cells = [f"{metrics[name]:.{digits}g}" for name in _COLUMNS]
            more = [f"{metrics[name]:.{places}f}" for name, _, places in _COSTS]
            table.add_row(str(number) + ("*" if best else ""), *cells, *more, style="bold" if best else "")
        return table


class Working:
    """Signs of life of what takes long: bars, and a line for the pipe or the log after each silence of some seconds."""

    def __init__(self, bars: Progress | None, say: Callable[[str], None]) -> None:
        """Show on ``bars``, if any; ``say`` takes the lines."""
        self._bars, self._say = bars, say
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._said = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` of ``what`` are done."""
        now = time.monotonic()
        began = self._began.setdefault(what, now)
        left = (now - began) / max(1, done - 1) * (total - done)
        if now - self._said > _SILENCE and left >= 1:
            self._said = now
            self._say(f"{what}: {done} of {total}, about {_clock(left)} left")
        if self._bars is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done)


def _console() -> Console:
    """The standard output; in a pipe, lines are as long as they need to be."""
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, soft_wrap=True, width=_PIPE_WIDTH)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
