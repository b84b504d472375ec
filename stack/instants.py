"""Instants as the CLI's JSON has them."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at_us: int) -> str:
    """An instant in microseconds since 1970 as RFC 3339, in UTC, to the microsecond."""
    return datetime.fromtimestamp(at_us / 1_000_000, tz=UTC).isoformat()
