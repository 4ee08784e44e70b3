"""Names in a sentence, and sentences: the first few, and how many more there are."""

from collections.abc import Iterable, Sequence


def some(names: Sequence[str], shown: int = 3) -> str:
    """``a, b, c and 4 more``."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


def first(problems: Iterable[str], shown: int = 20) -> list[str]:
    """The first sentences, and how many more there are."""
    listed = list(problems)
    return listed[:shown] + ([f"... and {len(listed) - shown} more"] if len(listed) > shown else [])
