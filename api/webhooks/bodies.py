"""What an event says, as JSON: the payment as it was at that version, as the API shows it."""

from __future__ import annotations

import msgspec

from api import views
from api.webhook_resources import API_VERSION, Event
from ledger.ids import public_id
from ledger.records import IntentRow

_encode = msgspec.json.Encoder().encode


def event_body(event_id: bytes, type_: str, occurred_at_us: int, row: IntentRow) -> bytes:
    """The body that every try sends.

    Args:
        event_id: of the stream's event, sixteen bytes.
        type_: what happened.
        occurred_at_us: when it was committed.
        row: the payment at that version.
    """
    return _encode(
        Event(
            id=public_id("evt", event_id),
            type=type_,
            timestamp=views.instant(occurred_at_us),
            sequence=row.version,
            api_version=API_VERSION,
            data=views.payment_intent(row, public_id("pi", row.intent_id)),
        )
    )
