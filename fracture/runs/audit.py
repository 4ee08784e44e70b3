"""The audit before training: its findings on the screen, and whether they refuse."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fracture.data.audit.audit import audit_manifest, write_report
from fracture.data.audit.report import AuditReport
from fracture.data.manifest import Manifest
from fracture.errors import DataError
from fracture.files import as_lines, expanded
from fracture.progress import LOG, Terminal
from fracture.runs import attached, resume_command
from fracture.tracking import store

VERDICTS = ("clean", "confounded", "leaking")  # the worst last
_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "leak": "bold red", "skipped": "dim"}


def audit_before_training(
    manifest: Manifest, data: str, strictness: str, cache_dir: Path, refused: Path, terminal: Terminal
) -> AuditReport | None:
    """Audit the data that is about to be trained on, unless ``strictness`` is ``off``.

    Args:
        manifest: split.
        data: as the user named it, for the command that fixes it.
        strictness: ``strict`` refuses leaking data, ``warn`` says so, ``off`` does not look.
        cache_dir: where signatures are kept.
        refused: folder that the report is written to when it refuses.
        terminal: shows the findings.

    Raises:
        DataError: the data leaks and ``strictness`` is ``strict``.
    """
    if strictness == "off":
        terminal.warn("audit=off: this data was not checked for leakage.")
        return None
    with terminal.working() as progress:
        report = audit_manifest(manifest, cache_dir, progress)
    show_audit(report, terminal, brief=not terminal.verbose)
    if report.leaks and strictness == "strict":
        files = write_report(report, refused / report.digest / "audit.json")
        attached.keep(files, {"fracture.audit": report.verdict})
        terminal.say(f"The evidence, with the image pairs side by side: {files[1]}")
        refuse(report, data)
    if report.leaks:
        terminal.warn("audit=warn: this data LEAKS. The test score will be inflated.")
    return report


def show_audit(report: AuditReport, terminal: Terminal, *, brief: bool = False) -> None:
    """Print the findings as a table, and a warning where the class equals the source.

    Args:
        report: what was found.
        terminal: where it is shown; the log has all of it.
        brief: one line where nothing speaks against training.
    """
    title = f"Audit of {report.name}: {len(report.images):,} images, {report.verdict}"
    LOG.info("%s\n%s", title, "\n".join(f"{c.number} {c.title}: {c.status}, {c.sentence}" for c in report.checks))
    if brief and report.verdict == "clean" and all(check.status != "warning" for check in report.checks):
        notes = [f"{check.title.lower()}: {check.sentence}" for check in report.checks if check.status == "note"]
        nothing = "no leakage between splits, no contradictory labels"
        terminal.say(f"{title}: {'. Of note: '.join([nothing, '; '.join(notes)] if notes else [nothing])}.")
        return
    table = Table("", "question", "status", "answer", title=Text(title), title_justify="left", title_style="bold")
    for check in report.checks:
        style = _STYLES[check.status]
        table.add_row(str(check.number), check.title, Text(check.status, style), Text(as_lines(check.sentence)))
    terminal.console.print(table)
    if report.confounded:
        terminal.warn(
            "confounded=true: something other than anatomy separates the classes, so a high score proves little."
        )


def refuse(report: AuditReport, data: str) -> None:
    """End with exit code 3 where the data leaks.

    Raises:
        DataError: every leak, and the command that fixes them.
    """
    if report.leaks:
        name = expanded(data).resolve().with_suffix("").name
        fix = resume_command.regroup_line(data, f"{name}.regrouped.csv", store.attached_run_id() is not None)
        raise DataError(report.problems(), f"To fix it: {fix}")


def worst_audit(paths: Iterable[Path]) -> Mapping[str, Any] | None:
    """The worst of several audit.json; those that are not there were not audited, None where none was."""
    found: list[Mapping[str, Any]] = [json.loads(path.read_bytes()) for path in paths if path.is_file()]
    return max(found, key=lambda one: VERDICTS.index(one["verdict"]), default=None)
