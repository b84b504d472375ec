"""What the archive's columns say of a record beside its bytes: for queries, never for proofs."""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.archive.sealed import Sealed
from ledger.stream.changes import Row
from ledger.stream.errors import RecordError
from ledger.stream.events import SCHEMA_VERSION, EventDecoder
from ledger.stream.record import HEAD, NO_INTENT, descriptor_id

AMOUNT: Final = "amount_minor"
CURRENCY: Final = "currency"


class Columns(msgspec.Struct):
    """The columns of one segment, a list each, all of the same length.

    A record that cannot be read as an event has None from `tables` on; its bytes stand all the
    same.
    """

    commit_lsns: list[int] = []
    ordinals: list[int] = []
    committed_at_us: list[int] = []
    descriptors: list[bytes] = []
    intents: list[bytes | None] = []
    tables: list[str | None] = []
    operations: list[str | None] = []
    amounts_minor: list[int | None] = []
    currencies: list[str | None] = []
    schema_versions: list[int | None] = []


def columns_of(segment: Sealed) -> Columns:
    """Read every record of a segment; what cannot be read has no columns."""
    known = {descriptor_id(one): one for head in segment.frames for one in head.descriptors}
    decoder = EventDecoder()
    columns = Columns()
    for offset, record in enumerate(segment.records, segment.header.first_offset):
        _add_head(columns, record)
        try:
            event = decoder.decode(0, offset, record, known)
            amount, currency = _money(event.after or event.before)
        except RecordError:
            _add_event(columns, None, None, None, None, None)
            continue
        _add_event(columns, event.table, event.operation, amount, currency, SCHEMA_VERSION)
    return columns


def _add_head(columns: Columns, record: bytes) -> None:
    _, _, _, ordinal, commit_lsn, committed_at_us, descriptor, intent = HEAD.unpack_from(record)
    columns.commit_lsns.append(commit_lsn)
    columns.ordinals.append(ordinal)
    columns.committed_at_us.append(committed_at_us)
    columns.descriptors.append(descriptor)
    columns.intents.append(None if intent == NO_INTENT else intent)


def _add_event(
    columns: Columns,
    table: str | None,
    operation: str | None,
    amount: int | None,
    currency: str | None,
    schema_version: int | None,
) -> None:
    columns.tables.append(table)
    columns.operations.append(operation)
    columns.amounts_minor.append(amount)
    columns.currencies.append(currency)
    columns.schema_versions.append(schema_version)


def _money(row: Row | None) -> tuple[int | None, str | None]:
    """Amount and currency, where the row has them; raises RecordError."""
    if row is None:
        return None, None
    amount, currency = row.get(AMOUNT), row.get(CURRENCY)
    return (
        amount if isinstance(amount, int) else None,
        currency if isinstance(currency, str) else None,
    )
