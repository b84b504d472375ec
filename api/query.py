"""Query strings of lists, read strictly: unknown, repeated and badly formed parameters fail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from api.errors import Problem, ProblemError
from ledger.ids import IdError, lowest_id_at, parse_id
from ledger.lifecycle import INTENT_STATUSES

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100


class ListQuery(Struct, frozen=True):
    """What `GET /payment-intents` asks for; the bounds are intent ids, since ids are in time order.

    Attributes:
        limit: intents on the page.
        after: the cursor of the page before.
        created_from: ids from this one on.
        created_before: ids below this one.
        statuses: intents in one of these only.
    """

    limit: int = PAGE_DEFAULT
    after: bytes | None = None
    created_from: bytes | None = None
    created_before: bytes | None = None
    statuses: tuple[str, ...] = tuple(INTENT_STATUSES)


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
            raise _invalid("a parameter is not UTF-8") from None
        if key in parameters:
            raise _invalid("a parameter stands twice")
        parameters[key] = text
    return parameters


def refuse_parameters(query: bytes) -> None:
    """For routes that take none; raises ProblemError."""
    if query:
        raise _invalid("this route takes no query parameters")


def parse_list_query(query: bytes) -> ListQuery:
    """The page that is asked for.

    Raises:
        ProblemError: `invalid_query`, naming the parameter.
    """
    parameters = parse_parameters(query)
    if parameters.keys() - _KNOWN:
        raise _invalid(f"a parameter is not known; known are {', '.join(sorted(_KNOWN))}")
    created_after = parameters.get("createdAfter")
    created_before = parameters.get("createdBefore")
    return ListQuery(
        limit=_limit(parameters.get("limit")),
        after=_cursor(parameters.get("after")),
        created_from=None if created_after is None else _bound("createdAfter", created_after),
        created_before=None if created_before is None else _bound("createdBefore", created_before),
        statuses=_statuses(parameters.get("status")),
    )


_KNOWN: Final = frozenset({"limit", "after", "status", "createdAfter", "createdBefore"})


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= PAGE_MAX):
        raise _invalid(f"limit must be an integer from 1 to {PAGE_MAX}")
    return int(text)


def _cursor(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return parse_id("pi", text)
    except IdError:
        raise _invalid("after must be the nextCursor of a page") from None


def _statuses(text: str | None) -> tuple[str, ...]:
    if text is None:
        return tuple(INTENT_STATUSES)
    statuses = tuple(text.split(","))
    if not set(statuses) <= set(INTENT_STATUSES):
        raise _invalid(f"status must be one or more of {', '.join(INTENT_STATUSES)}")
    return statuses


def _bound(name: str, text: str) -> bytes:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or not text.endswith("Z") or "T" not in text or at.year < 1970:
        raise _invalid(f"{name} must have the form 2026-01-02T03:04:05Z")
    since_1970 = at - datetime(1970, 1, 1, tzinfo=UTC)
    return lowest_id_at(
        (since_1970.days * 86_400 + since_1970.seconds) * 1_000_000 + since_1970.microseconds
    )


def _invalid(detail: str) -> ProblemError:
    return ProblemError(Problem("invalid_query", detail))
