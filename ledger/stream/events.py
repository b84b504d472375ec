"""Events: records as consumers see them, one for each version of a row. docs/events.md is for them.

An event's *id* is made of table, primary key and, for the payment intent, its version: nothing
that a repair or a failover could change. The API shows the same ids in a payment's timeline. Where
an event stands (offset, LSN, ordinal) is its position and not its name.

*before* is the row's previous version. Postgres does not send it (that would cost half of the WAL
again), and only payment intents have more than one version; so it is known where the reader has
seen the version before this one. `PreviousVersions` remembers the newest of a bounded number of
intents; who needs more brings a lookup of his own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ledger.ids import event_id, outcome_number, public_id
from ledger.stream.changes import (
    Row,
    Table,
    Value,
    read_change,
    read_table,
    rfc3339,
    uuid_text,
)
from ledger.stream.errors import RecordError
from ledger.stream.record import NO_INTENT, Record, parse_record

SCHEMA_VERSION: Final = 1
OPERATIONS: Final = {b"I": "insert", b"U": "update", b"D": "delete", b"T": "truncate"}
VERSION_COLUMNS: Final = {"payment_intents": "version"}
OUTCOMES: Final = "outcomes"
INTENT_VERSION: Final = "intent_version"  # their column
OF_NO_PAYMENT: Final = frozenset({"restores"})  # tables whose first column is no payment's id
_TABLES_MAX: Final = 1_024  # descriptors kept decoded; a schema has a few tables
_LSN_HALF: Final = 0xFFFF_FFFF


class Place(msgspec.Struct, frozen=True):
    """Where an event stands."""

    shard: int
    partition: int
    offset: int
    commit_lsn: int
    ordinal: int


class Event(msgspec.Struct, frozen=True):
    """One version of one row.

    Attributes:
        id: sixteen bytes; `evt_…` outside.
        operation: insert, update, delete or truncate.
        table: its name.
        key: the primary key by column; empty for a truncate.
        version: of a payment intent; None elsewhere.
        intent_id: of the payment that the row belongs to; None for a truncate.
        before: the previous version where it is known; of a delete, at least its key.
        after: this version; None for delete and truncate.
        committed_at_us: Unix microseconds, by the database's clock.
        place: where in the stream and in the WAL.
        repair: whether it was read from the tables after a gap.
    """

    id: bytes
    operation: str
    table: str
    key: Mapping[str, Value]
    version: int | None
    intent_id: bytes | None
    before: Row | None
    after: Row | None
    committed_at_us: int
    place: Place
    repair: bool

    def document(self) -> dict[str, Any]:
        """The event as JSON, schema version 1.

        Raises:
            RecordError: a value is not what its type should be.
        """
        place = self.place
        try:
            committed_at = rfc3339(self.committed_at_us)
        except OverflowError:
            raise RecordError("commit time", "no such instant") from None
        lsn = f"{place.commit_lsn >> 32:X}/{place.commit_lsn & _LSN_HALF:X}"
        return {
            "schema_version": SCHEMA_VERSION,
            "id": public_id("evt", self.id),
            "operation": self.operation,
            "table": self.table,
            "key": {name: _key_form(value) for name, value in self.key.items()},
            "version": self.version,
            "payment_intent": public_id("pi", self.intent_id) if self.intent_id else None,
            "before": self.before.document() if self.before else None,
            "after": self.after.document() if self.after else None,
            "committed_at": committed_at,
            "position": {
                "shard": place.shard,
                "partition": place.partition,
                "offset": place.offset,
                "commit_lsn": lsn,
                "ordinal": place.ordinal,
            },
            "repair": self.repair,
        }


Before = Callable[[bytes, int], Row | None]  # intent id, version -> that version, if it is known


class PreviousVersions:
    """The newest version seen of each of the payment intents seen last.

    Args:
        intents_max: how many are remembered: 500 bytes each.
    """

    def __init__(self, intents_max: int = 16_384) -> None:
        self._intents_max = intents_max
        self._newest: OrderedDict[bytes, tuple[int, Row]] = OrderedDict()

    def find(self, intent_id: bytes, version: int) -> Row | None:
        """That version of an intent, if it is the one that was seen last."""
        known, row = self._newest.get(intent_id, (0, None))
        return row if known == version else None

    def note(self, event: Event) -> None:
        """Remember what an event tells; of other tables nothing."""
        if event.version is None or event.intent_id is None or event.after is None:
            return
        self._newest[event.intent_id] = (event.version, event.after)
        self._newest.move_to_end(event.intent_id)
        if len(self._newest) > self._intents_max:
            self._newest.popitem(last=False)


class EventDecoder:
    """Makes events of one shard's records.

    Args:
        shard: which.
        before: finds the previous version of an intent; without it there is never a `before`.
    """

    def __init__(self, *, shard: int = 0, before: Before | None = None) -> None:
        self._shard = shard
        self._before = before
        self._tables: dict[bytes, Table] = {}

    def decode(
        self, partition: int, offset: int, data: bytes, descriptors: Mapping[bytes, bytes]
    ) -> Event:
        """The event of a record.

        Args:
            partition: where the record stands.
            offset: likewise.
            data: the record.
            descriptors: its page's.

        Raises:
            RecordError: it is no record, or does not fit its descriptor.
        """
        record = parse_record(data)
        table = self._table(record.descriptor, descriptors)
        change = read_change(record.change, table)
        row = change.new or change.old
        key = row.key() if row else {}
        version = _version(table, row)
        before = change.old
        has_none = record.intent_id == NO_INTENT or table.name in OF_NO_PAYMENT
        intent_id = None if has_none else record.intent_id
        if before is None and version is not None and intent_id and self._before is not None:
            before = self._before(intent_id, version - 1)
        place = Place(self._shard, partition, offset, record.commit_lsn, record.ordinal)
        return Event(
            id=_event_id(table, row, version, record),
            operation=OPERATIONS[record.kind],
            table=table.name,
            key=key,
            version=version,
            intent_id=intent_id,
            before=before,
            after=change.new,
            committed_at_us=record.committed_at_us,
            place=place,
            repair=record.is_repair,
        )

    def _table(self, id_: bytes, descriptors: Mapping[bytes, bytes]) -> Table:
        if (table := self._tables.get(id_)) is None:
            try:
                table = read_table(descriptors[id_])
            except KeyError:
                raise RecordError("descriptor", f"{id_.hex()} is nowhere before it") from None
            if len(self._tables) == _TABLES_MAX:
                self._tables.clear()
            self._tables[id_] = table
        return table


def _version(table: Table, row: Row | None) -> int | None:
    name = VERSION_COLUMNS.get(table.name)
    if name is None or row is None or name in row.missing:
        return None
    version = row.get(name)
    if not isinstance(version, int):
        raise RecordError(f"{table.name}.{name}", "an event of this table needs it")
    return version


def _event_id(table: Table, row: Row | None, version: int | None, record: Record) -> bytes:
    """By the key's last id; its number, where it has one, or else the version, tells rows apart."""
    key = row.key() if row else {}
    ids = [value for value in key.values() if isinstance(value, bytes)]
    numbers = [value for value in key.values() if isinstance(value, int)]
    if not ids:  # a truncate has no key: its place is all there is
        return event_id(table.name, record.commit_lsn.to_bytes(8), record.ordinal)
    number = numbers[-1] if numbers else version or 0
    if table.name == OUTCOMES and row is not None:  # a deletion tells the key alone
        number = outcome_number(number, row.get(INTENT_VERSION) or 0)
    return event_id(table.name, ids[-1], number)


def _key_form(value: Value) -> Any:
    return uuid_text(value) if isinstance(value, bytes) else value
