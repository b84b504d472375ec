"""Instants as the CLI's JSON has them; spans of time, and how often, for people."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at_us: int) -> str:
    """An instant in microseconds since 1970 as RFC 3339, in UTC, to the microsecond."""
    return datetime.fromtimestamp(at_us / 1_000_000, tz=UTC).isoformat()


def age(seconds: float) -> str:
    """A time span in its two largest units, such as `3 h 12 min`; a clock behind gives 0 s."""
    left = max(0, int(seconds))
    days, left = divmod(left, 86_400)
    hours, left = divmod(left, 3_600)
    minutes, left = divmod(left, 60)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    while len(units) > 1 and not units[0][0]:
        del units[0]
    return " ".join(f"{number} {unit}" for number, unit in units[:2] if number or len(units) == 1)


def times(count: int) -> str:
    """How often, in words that people use."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
