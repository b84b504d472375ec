"""Who did what to a payment and when: one event per version of the intent row."""

from __future__ import annotations

from typing import Final

from ledger.ids import event_id
from ledger.pgtypes import bool_, uuid_
from ledger.records import TimelineEvent
from ledger.statements import QUERIES, Runner

_READ: Final = QUERIES["read_timeline"]

# The status that a change led to → the event's type, a webhook type of contract 6.
EVENT_TYPES: Final = {
    "created": "payment_intent.created",
    "processing": "payment_intent.processing",
    "authorized": "payment_intent.authorized",
    "succeeded": "payment_intent.succeeded",
    "failed": "payment_intent.payment_failed",
    "pending_verification": "payment_intent.pending_verification",
    "canceled": "payment_intent.canceled",
}
# What read_timeline says of a change besides, in the order of its columns.
_DATA: Final = (
    "transaction_type",
    "amount_minor",
    "currency",
    "network",
    "mti",
    "stan",
    "rrn",
    "de7",
    "result",
    "response_code",
    "approval_code",
    "decline_code",
    "advice",
)


async def read_timeline(
    runner: Runner, merchant_id: bytes, intent_id: bytes, *, live: bool
) -> list[TimelineEvent] | None:
    """The events of an intent, oldest first; None if this merchant has none such in this mode."""
    result = await runner.run(_READ, [uuid_(merchant_id), uuid_(intent_id), bool_(live)])
    events = []
    for version, at_us, status, actor, request_id, transaction_id, *known in result.rows():
        data: dict[str, str | int] = {
            name: value for name, value in zip(_DATA, known, strict=True) if value
        }
        if request_id is not None:
            data["request_id"] = request_id.hex()
        events.append(
            TimelineEvent(
                id=event_id("payment_intents", intent_id, version),
                sequence=version,
                type=EVENT_TYPES[status],
                actor=actor,
                at_us=at_us,
                transaction_id=transaction_id,
                data=data,
            )
        )
    return events or None
