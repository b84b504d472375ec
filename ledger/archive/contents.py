"""Whose payments a segment tells of, and when they were committed: what a legal hold asks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ledger.archive.holds import Line, holds_of
from ledger.archive.sealed import Sealed
from ledger.audit.comparison import RESTORES
from ledger.ids import public_id
from ledger.stream.changes import Table, read_change, read_table
from ledger.stream.errors import RecordError
from ledger.stream.record import DESCRIPTOR_ID, HEAD_BYTES, NO_INTENT, descriptor_id

INTENTS: Final = "payment_intents"
MERCHANT: Final = "merchant_id"
_INTENT: Final = slice(32, 48)  # of a record
_COMMITTED: Final = slice(16, 24)

# Asks for the merchants of payments; those that nobody knows any more are not in the answer.
OwnersOf = Callable[[Collection[bytes]], Mapping[bytes, bytes]]


class Contents(msgspec.Struct, frozen=True):
    """What a segment holds.

    Attributes:
        first_us: commit time of its oldest record.
        last_us: of its newest.
        owners: by payment intent the merchant; None where the segment does not tell.
    """

    first_us: int
    last_us: int
    owners: Mapping[bytes, bytes | None]


def contents_of(segment: Sealed) -> Contents:
    """Read a segment; records that cannot be read tell no owner, and count all the same."""
    tables = dict(_tables(segment, INTENTS))
    owners: dict[bytes, bytes | None] = {}
    for record in segment.records:
        intent_id = bytes(record[_INTENT])
        if intent_id == NO_INTENT:
            continue
        owner = owners.get(intent_id)
        table = tables.get(bytes(record[DESCRIPTOR_ID]))
        if owner is None and table is not None:
            owner = _owner(record, table)
        owners[intent_id] = owner
    instants = [int.from_bytes(record[_COMMITTED], signed=True) for record in segment.records]
    return Contents(min(instants, default=0), max(instants, default=0), owners)


def held_by(lines: Sequence[Line], contents: Contents, owners_of: OwnersOf) -> str | None:
    """Say which hold holds a segment; None if none does.

    Args:
        lines: active holds.
        contents: the segment's.
        owners_of: asked for what the segment does not tell. A payment whose merchant nobody knows
            counts as any merchant's who is held.
    """
    for line in lines:
        if line.begin_us is None or line.end_us is None:
            continue
        if contents.first_us < line.end_us and contents.last_us >= line.begin_us:
            return f"{line.name} on what was committed then"
    by_payment = [line for line in lines if line.intent or line.merchant]
    if not by_payment:
        return None
    owners = dict(contents.owners)
    unknown = [intent_id for intent_id, owner in owners.items() if owner is None]
    if unknown and any(line.merchant for line in by_payment):
        owners |= owners_of(unknown)
    for intent_id, owner in owners.items():
        if (hold := holds_of(by_payment, owner, intent_id)) is not None:
            return f"{hold.name} on {public_id('pi', intent_id)}"
    return None


def still_needed(segment: Sealed, is_gone: Callable[[bytes], bool]) -> bytes | None:
    """A payment of a segment whose rows the tables still have; None if there is none.

    Args:
        segment: whose records would be forgotten.
        is_gone: whether a payment has left the tables.
    """
    restores = {descriptor for descriptor, _ in _tables(segment, RESTORES)}
    payments = {
        bytes(record[_INTENT])
        for record in segment.records
        if bytes(record[DESCRIPTOR_ID]) not in restores
    }
    return next((one for one in sorted(payments - {NO_INTENT}) if not is_gone(one)), None)


def _tables(segment: Sealed, name: str) -> Iterator[tuple[bytes, Table]]:
    """The descriptors of a table in a segment."""
    for head in segment.frames:
        for descriptor in head.descriptors:
            try:
                table = read_table(descriptor)
            except RecordError:
                continue
            if table.name == name:
                yield descriptor_id(descriptor), table


def _owner(record: bytes, table: Table) -> bytes | None:
    try:
        change = read_change(record[HEAD_BYTES:], table)
        row = change.new or change.old
        owner = row.get(MERCHANT) if row else None
    except RecordError:
        return None
    return owner if isinstance(owner, bytes) else None
