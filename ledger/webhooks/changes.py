"""Versions of payment intents, found among the records of the stream. Pure.

Most records are of other tables, and most merchants may have no endpoint; so a record's table is
told by its descriptor, its merchant by one column, and the rest is decoded where it is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from ledger.ids import event_id
from ledger.pgdecode import column_decoder
from ledger.stream.changes import Row, Table, read_change, read_table
from ledger.stream.errors import RecordError
from ledger.stream.record import DESCRIPTOR_ID, HEAD_BYTES, VERSION

TABLE: Final = "payment_intents"
_COMMITTED_AT: Final = slice(16, 24)  # in a record
_COLUMNS: Final = (
    "id",
    "merchant_id",
    "live",
    "amount_minor",
    "currency",
    "status",
    "capture_method",
    "allow_partial",
    "capturable_minor",
    "captured_minor",
    "refunded_minor",
    "disputed_minor",
    "cancel_requested",
    "capture_before",
    "version",
    "created_at",
    "updated_at",
)


class Version(Struct, frozen=True, gc=False):
    """One version of a payment intent; the names are those of `ledger.records.IntentRow`."""

    intent_id: bytes
    merchant_id: bytes
    live: bool
    amount_minor: int
    currency: str
    status: str
    capture_method: str
    allow_partial: bool
    capturable_minor: int
    captured_minor: int
    refunded_minor: int
    disputed_minor: int
    cancel_requested: bool
    capture_before_us: int | None
    version: int
    created_at_us: int
    updated_at_us: int

    @property
    def event_id(self) -> bytes:
        """The id of the stream's event, and of the timeline's."""
        return event_id(TABLE, self.intent_id, self.version)


class Change(Struct, frozen=True):
    """A version that is not decoded yet, but for whose it is."""

    merchant_id: bytes
    committed_at_us: int
    row: Row
    places: tuple[tuple[int, Any], ...]

    def version(self) -> Version:
        """The version; raises RecordError."""
        cells = self.row.cells
        return Version(*(decode([cells[at]])[0] for at, decode in self.places))


class _Shape(Struct, frozen=True):
    """Where the columns are that matter."""

    table: Table
    places: tuple[tuple[int, Any], ...]  # (column, decoder of its type)


class ChangeReader:
    """Finds versions among records; keeps what it learned of their descriptors."""

    def __init__(self) -> None:
        self._shapes: dict[bytes, _Shape | None] = {}

    def read(self, data: bytes, descriptors: Mapping[bytes, bytes]) -> Change | None:
        """The change of a payment intent that a record tells of, if it tells of one.

        Raises:
            RecordError: it is no record, or does not fit its descriptor.
        """
        if data[0] != VERSION:
            raise RecordError("version", f"{data[0]}; this code reads {VERSION}")
        shape = self._shape(data[DESCRIPTOR_ID], descriptors)
        if shape is None:
            return None
        row = read_change(data[HEAD_BYTES:], shape.table).new
        if row is None:
            return None  # a deletion, which nothing of ours does: there is nothing to tell
        at, decode = shape.places[1]
        return Change(
            merchant_id=decode([row.cells[at]])[0],
            committed_at_us=int.from_bytes(data[_COMMITTED_AT], signed=True),
            row=row,
            places=shape.places,
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
