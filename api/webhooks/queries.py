"""Query strings of webhooks' lists, read as strictly as those of payments."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from api.query import invalid_parameter, invalid_query, parse_parameters, read_limit
from ledger.ids import IdError, Prefix, parse_id
from ledger.webhooks.deliveries import DeliveryFilter
from ledger.webhooks.kinds import EVENT_TYPES
from ledger.webhooks.statuses import DELIVERY_STATUSES

_INSTANT_BYTES: Final = 8
_CURSOR_BYTES: Final = _INSTANT_BYTES + 16
HIGHEST_ID: Final = b"\xff" * 16


class EventQuery(Struct, frozen=True):
    """What `GET /events` asks for."""

    limit: int
    before: tuple[int, bytes] | None
    types: tuple[str, ...]


class EndpointQuery(Struct, frozen=True):
    """What `GET /webhook-endpoints` asks for."""

    limit: int
    below: bytes


def parse_event_query(query: bytes) -> EventQuery:
    """The page of events; raises ProblemError `invalid_query`, naming the parameter."""
    given = _known(query, {"limit", "after", "type"})
    types = given["type"].split(",") if "type" in given else []
    if not set(types) <= set(EVENT_TYPES):
        raise invalid_parameter("type", f"must be one or more of {', '.join(EVENT_TYPES)}")
    return EventQuery(
        read_limit(given.get("limit")), _event_cursor(given.get("after")), tuple(types)
    )


def parse_endpoint_query(query: bytes) -> EndpointQuery:
    """The page of endpoints; raises ProblemError `invalid_query`, naming the parameter."""
    given = _known(query, {"limit", "after"})
    return EndpointQuery(read_limit(given.get("limit")), _id("we", "after", given) or HIGHEST_ID)


def parse_delivery_query(query: bytes) -> DeliveryFilter:
    """The page of deliveries; raises ProblemError `invalid_query`, naming the parameter."""
    given = _known(query, {"limit", "after", "endpoint", "event", "status"})
    status = given.get("status", "")
    if "status" in given and status not in DELIVERY_STATUSES:
        raise invalid_parameter("status", f"must be one of {', '.join(DELIVERY_STATUSES)}")
    return DeliveryFilter(
        endpoint_id=_id("we", "endpoint", given),
        event_id=_id("evt", "event", given),
        status=status,
        below=_id("whd", "after", given) or HIGHEST_ID,
        limit=read_limit(given.get("limit")),
    )


def event_cursor(occurred_at_us: int, event_id: bytes) -> str:
    """The cursor behind an event: its instant and its id, which is no instant."""
    return urlsafe_b64encode(occurred_at_us.to_bytes(_INSTANT_BYTES) + event_id).decode("ascii")


def _event_cursor(text: str | None) -> tuple[int, bytes] | None:
    if text is None:
        return None
    try:
        data = urlsafe_b64decode(text.encode("ascii"))
    except (Base64Error, UnicodeEncodeError, ValueError):
        data = b""
    if len(data) != _CURSOR_BYTES or data[0] & 0x80:
        raise invalid_parameter("after", "must be the nextCursor of a page")
    return int.from_bytes(data[:_INSTANT_BYTES]), data[_INSTANT_BYTES:]


def _known(query: bytes, names: Collection[str]) -> dict[str, str]:
    given = parse_parameters(query)
    if given.keys() - names:
        raise invalid_query(f"a parameter is not known; known are {', '.join(sorted(names))}")
    return given


def _id(prefix: Prefix, name: str, given: dict[str, str]) -> bytes | None:
    if name not in given:
        return None
    try:
        return parse_id(prefix, given[name])
    except IdError:
        rule = "the nextCursor of a page" if name == "after" else f"an id {prefix}_…"
        raise invalid_parameter(name, f"must be {rule}") from None
