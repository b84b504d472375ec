"""Who still has to be told of what, and how each try ended.

A delivery is due at an instant. Whoever claims it moves that instant behind the time that a try can
take, so what a process held when it died is due again, by itself. What became of a try is written
once: the statement compares the number of tries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from ledger.connection import Step
from ledger.ids import lowest_id_at
from ledger.pgtypes import (
    bool_,
    bool_array,
    int4_,
    int4_array,
    int8_,
    text_,
    text_array,
    timestamptz_,
    timestamptz_array,
    uuid_,
    uuid_array,
)
from ledger.statements import QUERIES, Runner

TRIES_SHOWN_MAX: Final = 50  # of one delivery; a retry an hour for 72 h makes 80

_INSERT: Final = QUERIES["insert_webhook_deliveries"]
_CLAIM: Final = QUERIES["claim_deliveries"]
_RECORD: Final = QUERIES["record_tries"]
_GIVE_UP: Final = QUERIES["give_up_deliveries"]
_CANCEL: Final = QUERIES["cancel_deliveries"]
_GIVE_BACK: Final = QUERIES["give_back_deliveries"]
_LIST: Final = QUERIES["list_webhook_deliveries"]
_GET: Final = QUERIES["get_webhook_delivery"]
_TRIES: Final = QUERIES["read_webhook_tries"]
_REPLAY: Final = QUERIES["replay_webhook_delivery"]
_FORGET_TRIES: Final = QUERIES["forget_webhook_tries"]
_FORGET_DELIVERIES: Final = QUERIES["forget_webhook_deliveries"]
_FORGET_EVENTS: Final = QUERIES["forget_merchant_events"]


class NewDelivery(Struct, frozen=True, gc=False):
    """An endpoint to be told of an event."""

    delivery_id: bytes
    endpoint_id: bytes
    event_id: bytes
    merchant_id: bytes
    live: bool
    event_type: str


class Claimed(Struct, frozen=True, gc=False):
    """A delivery to be tried now.

    Attributes:
        delivery_id: sixteen bytes, as every id.
        endpoint_id: whom to tell.
        event_id: of what.
        tries: how often it was tried before.
        failures: how many of those in a row failed, since it was made or replayed.
        since_us: from when its time runs.
        occurred_at_us: when what it tells of was committed.
        body: what is sent.
    """

    delivery_id: bytes
    endpoint_id: bytes
    event_id: bytes
    tries: int
    failures: int
    since_us: int
    occurred_at_us: int
    body: bytes


class TryResult(Struct, frozen=True, gc=False):
    """How a try ended, and what follows.

    Attributes:
        delivery_id: whose.
        number: of the try, from 1.
        started_at_us: Unix microseconds.
        duration_ms: until the answer was whole, or the failure known.
        status_code: of the answer, if there was one.
        reason: a word of ours for a failure; empty where it was delivered.
        status: of the delivery from now on.
        due_at_us: when it is tried next; None where it is over.
        failures: in a row.
    """

    delivery_id: bytes
    number: int
    started_at_us: int
    duration_ms: int
    status_code: int | None
    reason: str
    status: str
    due_at_us: int | None
    failures: int


class DeliveryRow(Struct, frozen=True):
    """A delivery as it stands."""

    delivery_id: bytes
    endpoint_id: bytes
    event_id: bytes
    event_type: str
    status: str
    tries: int
    due_at_us: int | None
    created_at_us: int


class TryRow(Struct, frozen=True):
    """One try of it."""

    number: int
    started_at_us: int
    duration_ms: int
    status_code: int | None
    reason: str


class DeliveryFilter(Struct, frozen=True):
    """Which deliveries a list shows."""

    endpoint_id: bytes | None = None
    event_id: bytes | None = None
    status: str = ""
    below: bytes = b"\xff" * 16
    limit: int = 20


def insert_step(deliveries: Sequence[NewDelivery]) -> Step:
    """The statement that makes deliveries, due at once."""
    return (
        _INSERT,
        [
            uuid_array([one.delivery_id for one in deliveries]),
            uuid_array([one.endpoint_id for one in deliveries]),
            uuid_array([one.event_id for one in deliveries]),
            uuid_array([one.merchant_id for one in deliveries]),
            bool_array([one.live for one in deliveries]),
            text_array([one.event_type for one in deliveries]),
        ],
    )


async def claim(
    runner: Runner, *, rooms: Mapping[bytes, int], room: int, limit: int, claim_s: float
) -> list[Claimed]:
    """Take deliveries that are due.

    Args:
        runner: of role turnout_webhooks.
        rooms: how many more some endpoints may have in memory.
        room: the same of every other endpoint.
        limit: of all together.
        claim_s: after which they are due again, if nothing is heard of them.
    """
    params = [
        uuid_array(list(rooms)),
        int4_array(list(rooms.values())),
        int4_(room),
        int4_(limit),
        int4_(int(claim_s * 1_000)),
    ]
    return [Claimed(*row) for row in (await runner.run(_CLAIM, params)).rows()]


async def record(runner: Runner, results: Sequence[TryResult]) -> None:
    """Write down how tries ended."""
    params = [
        uuid_array([one.delivery_id for one in results]),
        int4_array([one.number for one in results]),
        timestamptz_array([one.started_at_us for one in results]),
        int4_array([one.duration_ms for one in results]),
        int4_array([one.status_code for one in results]),
        text_array([one.reason for one in results]),
        text_array([one.status for one in results]),
        timestamptz_array([one.due_at_us for one in results]),
        int4_array([one.failures for one in results]),
    ]
    await runner.run(_RECORD, params)


async def cancel(runner: Runner, ids: Sequence[bytes]) -> None:
    """End deliveries that nobody wants any more."""
    await runner.run(_CANCEL, [uuid_array(ids)])


async def give_up(runner: Runner, endpoint_id: bytes, *, before_us: int) -> None:
    """End what an endpoint has waiting since before an instant."""
    await runner.run(_GIVE_UP, [uuid_(endpoint_id), timestamptz_(before_us)])


async def give_back(runner: Runner, ids: Sequence[bytes]) -> None:
    """Make deliveries due that were claimed and not tried."""
    await runner.run(_GIVE_BACK, [uuid_array(ids)])


async def forget(runner: Runner, *, before_us: int, events_before_us: int, limit: int) -> int:
    """Delete what is older, so many of each at most; how many rows that were.

    Args:
        runner: of role turnout_webhooks.
        before_us: deliveries that are over, and tries.
        events_before_us: events; earlier by as long as a delivery that was replayed may take.
        limit: of each.
    """
    below, most = uuid_(lowest_id_at(before_us)), int8_(limit)
    results = await runner.pipeline(
        [
            (_FORGET_TRIES, [below, most]),
            (_FORGET_DELIVERIES, [below, most]),
            (_FORGET_EVENTS, [timestamptz_(events_before_us), most]),
        ]
    )
    return sum(result.row_count for result in results)


async def list_deliveries(
    runner: Runner, merchant_id: bytes, wanted: DeliveryFilter, *, live: bool
) -> list[DeliveryRow]:
    """A merchant's deliveries, newest first."""
    params = [
        uuid_(merchant_id),
        bool_(live),
        uuid_(wanted.below),
        None if wanted.endpoint_id is None else uuid_(wanted.endpoint_id),
        None if wanted.event_id is None else uuid_(wanted.event_id),
        text_(wanted.status),
        int8_(wanted.limit),
    ]
    return [DeliveryRow(*row) for row in (await runner.run(_LIST, params)).rows()]


async def get_delivery(
    runner: Runner, merchant_id: bytes, delivery_id: bytes, *, live: bool
) -> DeliveryRow | None:
    """One delivery of a merchant, or None."""
    params = [uuid_(merchant_id), bool_(live), uuid_(delivery_id)]
    rows = (await runner.run(_GET, params)).rows()
    return DeliveryRow(*rows[0]) if rows else None


async def read_tries(runner: Runner, ids: Sequence[bytes]) -> dict[bytes, list[TryRow]]:
    """The newest tries of deliveries, oldest first."""
    found: dict[bytes, list[TryRow]] = {id_: [] for id_ in ids}
    result = await runner.run(_TRIES, [uuid_array(ids), int8_(TRIES_SHOWN_MAX)])
    for delivery_id, *fields in result.rows():
        found[delivery_id].append(TryRow(*fields))
    return found


async def replay(
    runner: Runner, merchant_id: bytes, delivery_id: bytes, *, live: bool, key: bytes
) -> bool:
    """Have a delivery that is over tried anew; whether that was so, and not for this key before."""
    params = [uuid_(merchant_id), bool_(live), uuid_(delivery_id), uuid_(key)]
    return (await runner.run(_REPLAY, params)).row_count > 0
