"""A table while it is found out what its columns mean."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fracture.data.prepare.index import FileIndex
from fracture.data.tables import Row

ROUNDED = re.compile(r"\d[.,]?\d*E\+\d+", re.IGNORECASE)  # what spreadsheets make of long numbers


@dataclass(frozen=True)
class Sheet:
    """A table whose columns mean something.

    Attributes:
        path: of the file, for messages.
        names: of its columns.
        rows: cells by column.
        index: where the files that it names are looked for.
        header: whether its first line names the columns.
        option: by which the user says what a column means; empty where only the column's name says it.
    """

    path: Path
    names: Sequence[str]
    rows: Sequence[Row]
    index: FileIndex
    header: bool = True
    option: str = "--columns"

    def cells(self, name: str) -> list[str]:
        """The cells of a column that are not empty; none where the column is missing."""
        return [cell for row in self.rows if (cell := row.get(name))]

    def first(self, count: int) -> "Sheet":
        """The first rows."""
        return replace(self, rows=self.rows[:count])

    def say(self, meaning: str, column: str = "") -> str:
        """How the user says that a column, or any, has a meaning."""
        said = shlex.quote(f"{meaning}={column or 'NAME'}")
        return f"{self.option} {said}" if self.option else f"call {column or 'it'} {meaning}"

    def which(self, meaning: str, one: str, other: str) -> str:
        """How the user says which of two columns has a meaning."""
        if not self.option:
            return f"Take out {one} or {other}"
        return f"Say which one counts: {self.say(meaning, one)} or {self.say(meaning, other)}"
