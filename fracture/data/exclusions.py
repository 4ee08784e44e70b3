"""Files that are left out: each with its reason, counted for the screen and written down for the user."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fracture.files import replacing


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One file or folder that is not used.

    Attributes:
        path: the file, or the archive and the name inside it.
        reason: one sentence without the path.
        label: its class, where it had one.
        source: of the image, where known.
    """

    path: str
    reason: str
    label: str = ""
    source: str = ""


def kind_of(reason: str) -> str:
    """What a reason has in common with others of its kind; names inside it do not make it another."""
    return reason.split(":")[0].split(" (")[0]


def reasons(excluded: Sequence[Exclusion]) -> list[tuple[str, int]]:
    """How often each kind of reason occurs, the most frequent first."""
    return Counter(kind_of(one.reason) for one in excluded).most_common()


def write_exclusions(excluded: Sequence[Exclusion], path: Path) -> None:
    """Write one CSV row each: ``path,reason,label,source``; bytes of a name that are no UTF-8 as escapes."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "reason", "label", "source"])
        writer.writerows([one.path, one.reason, one.label, one.source] for one in excluded)
