"""Query strings of lists, read strictly: unknown, repeated and badly formed parameters fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from api.errors import Problem, ProblemError
from ledger.ids import IdError, lowest_id_at, parse_id
from ledger.lifecycle import INTENT_STATUSES

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
ID_LEAD_US: Final = 60_000_000  # far above any queue before the ledger


class ListQuery(Struct, frozen=True):
    """What `GET /payment-intents` asks for.

    Attributes:
        limit: intents on the page.
        after: the cursor of the page before, an id.
        created_from_us: created at this instant or later, microseconds since 1970.
        created_before_us: created before this instant.
        statuses: intents in one of these only.
    """

    limit: int = PAGE_DEFAULT
    after: bytes | None = None
    created_from_us: int | None = None
    created_before_us: int | None = None
    statuses: tuple[str, ...] = tuple(INTENT_STATUSES)

    @property
    def lowest_id(self) -> bytes | None:
        """The lowest id that may have been created in time.

        An id is drawn before its row is written, at most `ID_LEAD_US` before; so ids narrow the
        search, and `covers` decides.
        """
        if self.created_from_us is None:
            return None
        return lowest_id_at(max(0, self.created_from_us - ID_LEAD_US))

    @property
    def end_id(self) -> bytes | None:
        """The lowest id that was drawn too late."""
        return None if self.created_before_us is None else lowest_id_at(self.created_before_us)

    def covers(self, created_at_us: int) -> bool:
        """Whether an intent was created in the time asked for."""
        if self.created_from_us is not None and created_at_us < self.created_from_us:
            return False
        return self.created_before_us is None or created_at_us < self.created_before_us


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
    after, before = parameters.get("createdAfter"), parameters.get("createdBefore")
    return ListQuery(
        limit=_limit(parameters.get("limit")),
        after=_cursor(parameters.get("after")),
        created_from_us=None if after is None else _instant_us("createdAfter", after),
        created_before_us=None if before is None else _instant_us("createdBefore", before),
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


def _instant_us(name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or not text.endswith("Z") or "T" not in text or at.year < 1970:
        raise _invalid(f"{name} must have the form 2026-01-02T03:04:05Z")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _invalid(detail: str) -> ProblemError:
    return ProblemError(Problem("invalid_query", detail))
