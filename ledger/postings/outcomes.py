"""From the stream's records to what happened to money: which outcomes moved some, and how. Pure.

Of all records only outcomes matter here, and of those the ones by which a transaction succeeds.
A transaction succeeds once; where two outcomes of one commit tell of the same success (the
resolution of a doubt, and the attempt that ended it), the first one in the stream is booked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from ledger.ids import event_id, outcome_number
from ledger.pgdecode import column_decoder
from ledger.postings.money_events import Authorized, Canceled, Captured, Event, Refunded, Sold
from ledger.stream.changes import Table, read_change, read_table
from ledger.stream.consumer import EventRefusedError
from ledger.stream.errors import RecordError
from ledger.stream.record import DESCRIPTOR_ID, HEAD_BYTES, INSERT, VERSION

TABLE: Final = "outcomes"
SUCCEEDED: Final = "succeeded"
_KIND_AT: Final = 1  # in a record
_COMMITTED_AT: Final = slice(16, 24)  # likewise
_COLUMNS: Final = (
    "intent_id",
    "attempt_id",
    "transaction_id",
    "phase",
    "intent_version",
    "from_status",
    "to_status",
    "approved_minor",
)


class Success(Struct, frozen=True):
    """An outcome by which a transaction succeeded."""

    intent_id: bytes
    attempt_id: bytes
    transaction_id: bytes
    approved_minor: int | None  # of a partial approval
    source_event: bytes
    occurred_at_us: int


class Fact(Struct, frozen=True):
    """What the ledger knows of a transaction, and never changes."""

    type: str  # lifecycle.TRANSACTION_TYPES
    amount_minor: int
    final_capture: bool | None
    currency: str
    merchant_id: bytes
    live: bool
    capture_method: str
    network: str  # empty where no message was sent


class _Shape(Struct, frozen=True):
    """Where the columns are that matter."""

    table: Table
    places: tuple[tuple[int, Any], ...]  # (column, decoder of its type)


class SuccessReader:
    """Finds successes among records; keeps what it learned of their descriptors."""

    def __init__(self) -> None:
        self._shapes: dict[bytes, _Shape | None] = {}

    def read(self, data: bytes, descriptors: Mapping[bytes, bytes]) -> Success | None:
        """The success that a record tells of, if it tells of one.

        Raises:
            RecordError: it is no record, or does not fit its descriptor.
        """
        if data[0] != VERSION:
            raise RecordError("version", f"{data[0]}; this code reads {VERSION}")
        shape = self._shape(data[DESCRIPTOR_ID], descriptors)
        if shape is None or data[_KIND_AT] != INSERT[0]:
            return None
        row = read_change(data[HEAD_BYTES:], shape.table).new
        if row is None:
            raise RecordError(TABLE, "an insert without a row")
        intent_id, attempt_id, transaction_id, *numbers, from_status, to_status, approved_minor = (
            decode([row.cells[place]])[0] for place, decode in shape.places
        )
        if to_status != SUCCEEDED or from_status == SUCCEEDED:
            return None
        return Success(
            intent_id,
            attempt_id,
            transaction_id,
            approved_minor,
            event_id(TABLE, attempt_id, outcome_number(*numbers)),
            int.from_bytes(data[_COMMITTED_AT], signed=True),
        )

    def _shape(self, id_: bytes, descriptors: Mapping[bytes, bytes]) -> _Shape | None:
        try:
            return self._shapes[id_]
        except KeyError:
            pass
        if id_ not in descriptors:
            raise RecordError("descriptor", f"{id_.hex()} is nowhere before it")
        table = read_table(descriptors[id_])
        shape = None
        if table.name == TABLE:
            names = [column.name for column in table.columns]
            places = [names.index(name) for name in _COLUMNS]
            shape = _Shape(
                table,
                tuple((at, column_decoder(table.columns[at].type_oid)) for at in places),
            )
        self._shapes[id_] = shape
        return shape


def event_of(success: Success, fact: Fact, *, available_minor: int = 0) -> Event | None:
    """What a success means for the money; None where it moved none.

    Args:
        success: the outcome.
        fact: its transaction.
        available_minor: what its merchant may have, for refunds.

    Raises:
        EventRefusedError: a type of transaction that nothing in this release makes.
    """
    amount_minor = success.approved_minor or fact.amount_minor
    match fact.type:
        case "charge" if fact.capture_method == "automatic":
            return Sold(amount_minor)
        case "charge":
            return Authorized(amount_minor)
        case "capture":
            return Captured(amount_minor, final=bool(fact.final_capture))
        case "cancel":
            return Canceled()
        case "refund":
            return Refunded(amount_minor, available_minor)
        case "verification":
            return None
    raise EventRefusedError(f"there is no rule for a transaction of type {fact.type}")
