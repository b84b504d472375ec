"""From the stream's records to what happened to money: which outcomes moved some, and how. Pure.

Of all records only outcomes matter here, and of those the ones by which a transaction succeeds.
A transaction succeeds once; where two outcomes of one commit tell of the same success (the
resolution of a doubt, and the attempt that ended it), the first one in the stream is booked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final

from msgspec import Struct

from ledger.ids import event_id, outcome_number
from ledger.pgtypes import INT2, INT4, INT8, TEXT, UUID
from ledger.postings.money_events import Authorized, Canceled, Captured, Event, Refunded, Sold
from ledger.stream.changes import Table, read_change, read_table
from ledger.stream.consumer import EventRefusedError
from ledger.stream.errors import RecordError
from ledger.stream.record import DESCRIPTOR_ID, HEAD_BYTES, INSERT, VERSION

TABLE: Final = "outcomes"
SUCCEEDED: Final = "succeeded"
_KIND_AT: Final = 1  # in a record
_COMMITTED_AT: Final = slice(16, 24)  # likewise
_INTEGERS: Final = frozenset({INT2, INT4, INT8})
# What matters, and the types that it may be of.
_COLUMNS: Final = {
    "intent_id": frozenset({UUID}),
    "attempt_id": frozenset({UUID}),
    "transaction_id": frozenset({UUID}),
    "phase": _INTEGERS,
    "intent_version": _INTEGERS,
    "from_status": frozenset({TEXT}),
    "to_status": frozenset({TEXT}),
    "approved_minor": _INTEGERS,
}
_SUCCEEDED_CELL: Final = SUCCEEDED.encode()


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
    """Where the columns are that matter.

    Attributes:
        pick: their cells out of a row's, in the order of _COLUMNS.
    """

    table: Table
    pick: Callable[[tuple[Any, ...]], tuple[Any, ...]]


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
        cells = shape.pick(row.cells)
        intent_id, attempt_id, transaction_id, phase, version, start, end, approved = cells
        if end != _SUCCEEDED_CELL or start == _SUCCEEDED_CELL:
            return None
        return Success(
            intent_id,
            attempt_id,
            transaction_id,
            None if approved is None else _number(approved),
            event_id(TABLE, attempt_id, outcome_number(_number(phase), _number(version))),
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
            shape = _shape_of(table)
        self._shapes[id_] = shape
        return shape


def _shape_of(table: Table) -> _Shape:
    """Find the columns; raises RecordError where one is missing, or of a type nobody expects."""
    names = [column.name for column in table.columns]
    places = []
    for name, type_oids in _COLUMNS.items():
        if name not in names:
            raise RecordError(f"{TABLE}.{name}", "it is not published")
        places.append(place := names.index(name))
        if table.columns[place].type_oid not in type_oids:
            raise RecordError(f"{TABLE}.{name}", f"type oid {table.columns[place].type_oid}")
    return _Shape(table, itemgetter(*places))


def _number(cell: bytes) -> int:
    return int.from_bytes(cell, signed=True)


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
