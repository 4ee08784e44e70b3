"""Names in a sentence: the first few, and how many more there are."""

from collections.abc import Sequence


def some(names: Sequence[str], shown: int = 3) -> str:
    """``a, b, c and 4 more``."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")
