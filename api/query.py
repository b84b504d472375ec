"""Query strings, read strictly: unknown, repeated and badly formed parameters fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import UNSET

from api.errors import FieldProblem, Problem, ProblemError

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
DIGITS_MAX: Final = 15


def parse_parameters(query: bytes) -> dict[str, str]:
    """Name and value of each parameter, percent-decoded.

    Raises:
        ProblemError: `invalid_query` for a repeated parameter or bytes that are not UTF-8.
    """
    parameters: dict[str, str] = {}
    if not query:
        return parameters
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        try:
            key, text = unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            raise invalid_query("a parameter is not UTF-8") from None
        if key in parameters:
            raise invalid_query("a parameter stands twice")
        parameters[key] = text
    return parameters


def refuse_parameters(query: bytes) -> None:
    """For routes that take none; raises ProblemError."""
    if query:
        raise invalid_query("this route takes no query parameters")


def read_limit(text: str | None) -> int:
    """The size of a page; raises ProblemError."""
    if text is None:
        return PAGE_DEFAULT
    limit = read_integer(text)
    if limit is None or not 1 <= limit <= PAGE_MAX:
        raise invalid_parameter("limit", f"must be an integer from 1 to {PAGE_MAX}")
    return limit


def read_integer(text: str) -> int | None:
    """Decimal digits as a number that fits a column; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


def read_instant_us(name: str, text: str | None) -> int | None:
    """An instant in microseconds since 1970, None for none; raises ProblemError."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or not text.endswith("Z") or "T" not in text or at.year < 1970:
        raise invalid_parameter(name, "must have the form 2026-01-02T03:04:05Z")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def invalid_parameter(name: str, rule: str) -> ProblemError:
    """A known parameter whose value breaks a rule."""
    fault = FieldProblem(UNSET, "invalid_query", rule, parameter=name)
    return ProblemError(Problem("invalid_query", f"{name} {rule}", (fault,)))


def invalid_query(detail: str) -> ProblemError:
    """A query that is wrong as a whole."""
    return ProblemError(Problem("invalid_query", detail))
