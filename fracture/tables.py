"""The figures of a test as tables for the screen."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from fracture.evidence import Estimate, Judged, Studies, metric_title
from fracture.files import as_lines
from fracture.privacy import without_secrets

DOUBTED = "† interval too narrow to be believed: fewer than ten groups (of a class), or all images alike"

_SENTENCE = 40  # characters from which a cell is no figure
_TOTALS = (
    "accuracy", "balanced_accuracy", "macro_f1", "mcc", "log_loss", "ece_debiased", "any_fracture_auroc",
    "any_fracture_sensitivity", "any_fracture_specificity", "answered_share", "answered_accuracy",
)  # fmt: skip


def printable(text: str) -> str:
    """Without secrets, before a line is broken within one, and without what would move the cursor."""
    return as_lines(without_secrets(text))


def shown(estimate: Estimate) -> str:
    """A metric with its interval, marked where that is too narrow; results.json says why one is undefined."""
    if estimate.value is None:
        return "undefined"
    return f"{estimate.value:z.3f} [{estimate.low:z.3f}, {estimate.high:z.3f}]" + (" †" if estimate.caution else "")


def table_of(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> Table | Group:
    """Rows of figures, right, and of texts, left; each row a block of lines where its longest words do not fit."""
    widths = _widths(columns, rows, console.width)
    if widths is None:
        return _stacked(title, columns, rows)
    made = Table(title=Text(title), title_justify="left", title_style="bold")
    for i, (column, width) in enumerate(zip(columns, widths, strict=True)):
        text = i == 0 or any(len(row[i]) > _SENTENCE for row in rows)
        made.add_column(Text(column), justify="left" if text else "right", overflow="fold", width=width)
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Of columns in which no word and no figure is broken: what is left goes to the longer texts; None: no room."""
    least, most = [], []
    for i, column in enumerate(columns):
        cells = [row[i] for row in rows]
        figures = {cell for cell in cells if i > 0 and cell[:1] in "+-0123456789" and len(cell) <= _SENTENCE}
        words = [word for text in (column, *cells) if text not in figures for word in text.split()]
        least.append(max(map(cell_len, [*words, *figures, ""])))
        most.append(max(cell_len(text) for text in (column, *cells)))
    left = room - (3 * len(columns) + 1) - sum(least)  # a frame and a space on either side
    if left < 0:
        return None
    wanted = sum(most) - sum(least)
    return [low + (high - low) * min(left, wanted) // max(wanted, 1) for low, high in zip(least, most, strict=True)]


def counted(n: int, what: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _stacked(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Group:
    """A block of lines for each row: its first cell, then a line for each other one that is not empty."""
    lines, width = [Text(title, "bold")], max(map(len, columns))
    for first, *others in rows:
        lines.append(Text(first, "bold"))
        inner = " " * (len(first) - len(first.lstrip()))  # a fold stays below its parent
        lines += [
            Text(f"{inner}  {column:{width}}  {cell}") for column, cell in zip(columns[1:], others, strict=True) if cell
        ]
    return Group(*lines)


def study_table(found: Studies, console: Console) -> Table | Group:
    """Metrics with one answer a study, by each rule."""
    rules = {found.rule: found.metrics, **found.others}
    names = next(iter(found.others.values()), found.metrics)
    return table_of(
        f"One answer a {found.by}: {found.n}, of which {found.several} of several images",
        ["", *rules],
        [[metric_title(name), *(shown(metrics[name]) for metrics in rules.values())] for name in names],
        console,
    )


def result_tables(results: Judged, console: Console) -> list[Table | Group]:
    """By class, in all, and what was taken for what."""
    test = results.splits["test"]
    synthetic = ", SYNTHETIC: rendered images in the test or in training" if results.synthetic else ""
    classes = list(map(printable, results.classes))
    figures = [
        [*(shown(test.metrics[f"{metric}_{name}"]) for metric in ("precision", "recall", "f1")), str(test.counts[name])]
        for name in results.classes
    ]
    by_class = table_of(
        f"Test: {test.n} images, 95% intervals by group{synthetic}",
        ["", "precision", "recall", "F1", "n"],
        [[name, *cells] for name, cells in zip(classes, figures, strict=True)],
        console,
    )
    confusion = table_of(
        "True classes in rows, the most probable class in columns",
        ["", *classes],
        [[name, *map(str, line)] for name, line in zip(classes, test.confusion, strict=True)],
        console,
    )
    totals = Table(box=None, show_header=False)
    for name in _TOTALS:
        if name in test.metrics:
            totals.add_row(metric_title(name), shown(test.metrics[name]))
    if any(estimate.caution for estimate in test.metrics.values()):
        totals.caption = DOUBTED
    return [by_class, totals, confusion]
