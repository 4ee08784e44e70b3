"""Every failure a user can meet, and the exit code of each branch.

::

    FractureError            1  anything unforeseen
    ├── DivergedError        1  training has left the finite numbers
    ├── ConfigError          2  a flag, parameter or name is wrong
    ├── DataError            3  the images or their manifest are refused
    ├── MemoryLimitError     4  nothing fits under the memory limit
    ├── GateError            5  a gate refused the promotion
    └── Interrupted          6  stopped, and the same work can go on

A message says what is wrong, where, what is allowed and what to do next. ``mlflow run`` turns every code but 0 into 1,
so the message must be enough by itself.
"""

from collections.abc import Sequence


class FractureError(Exception):
    """A failure explained to the user in one message; ``exit_code`` is what the process ends with."""

    exit_code = 1


class DivergedError(FractureError):
    """Training has left the finite numbers."""


class ConfigError(FractureError):
    """A flag, parameter or name is wrong."""

    exit_code = 2


class DataError(FractureError):
    """The images or their manifest are refused.

    Args:
        problems: every problem found, one sentence each; all are shown at once.
        hint: what to do next.
        missing: what the columns that a table lacks would mean, e.g. ``path``, where that is the problem.
    """

    exit_code = 3

    def __init__(self, problems: Sequence[str] | str, hint: str = "", missing: Sequence[str] = ()) -> None:
        self.problems, self.hint = (problems,) if isinstance(problems, str) else tuple(problems), hint
        self.missing = tuple(missing)
        shown = self.problems[0] if len(self.problems) == 1 else "\n".join(f"- {p}" for p in self.problems)
        count = "" if len(self.problems) == 1 else f"{len(self.problems)} problems with the data:\n"
        super().__init__(count + shown + (f"\n{hint}" if hint else ""))


class MemoryLimitError(FractureError):
    """Nothing fits under the memory limit."""

    exit_code = 4


class GateError(FractureError):
    """A gate refused the promotion."""

    exit_code = 5


class Interrupted(FractureError):  # noqa: N818 - it is no error of anyone
    """Stopped before the end; the message carries the command that goes on."""

    exit_code = 6
