"""A span of time up to now, as people write it: 30d, 12h, 4w, or the day it begins."""

import re
from datetime import UTC, datetime, timedelta

from fracture.errors import ConfigError

_HOURS = {"h": 1, "d": 24, "w": 168}


def stamp(when: datetime) -> str:
    """A moment as rows have it: UTC, in milliseconds."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def begin(text: str, now: datetime | None = None) -> str:
    """When a span begins, as rows have it; empty for all of time.

    Args:
        text: ``30d``, ``12h``, ``4w``, ``2026-01-31``, or ``all``.
        now: the moment that it ends.

    Raises:
        ConfigError: none of these.
    """
    plain = text.strip().lower()
    if plain == "all":
        return ""
    try:
        if span := re.fullmatch(r"(\d{1,5}) ?([hdw])", plain):
            return stamp((now or datetime.now(UTC)) - timedelta(hours=int(span[1]) * _HOURS[span[2]]))
        day = datetime.fromisoformat(text.strip())
        return stamp(day if day.tzinfo else day.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise ConfigError(f"--since {text}: no span of time. Allowed: 30d, 12h, 4w, 2026-01-31, all") from None
