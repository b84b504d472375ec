"""Attempts that were recorded and never finished: found by whoever reads the stream. Pure.

Theory of operation. An attempt is written before its message leaves; its outcome follows within its
deadline, or says `unknown`. One without any outcome, past its deadline and a grace for restarts and
takeovers, was dropped by everybody who could have cared for it. The ledger's own recovery cannot
see that it failed to look; the stream can, because it sees both rows go by.

Advices (function digit 2 of the MTI, and reversals) are repeated until they are acknowledged, for
hours if need be, and store-and-forward tells of them. They are let go here.

What is looked at of each change stands at a fixed place in it: nothing is decoded but what is late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from ledger.pgtypes import BOOL, INT2, INT4, INT8, POSTGRES_EPOCH_US, TIMESTAMPTZ, UUID
from ledger.stream.changes import Row, Table, read_change, read_table
from ledger.stream.errors import RecordError
from ledger.stream.record import HEAD_BYTES

ATTEMPTS: Final = "attempts"
OUTCOMES: Final = "outcomes"
_INSERT: Final = ord("I")
_BINARY: Final = ord("b")
_KIND_AT: Final = 1  # in a record
_DESCRIPTOR: Final = slice(24, 32)
_COMMITTED_AT: Final = slice(16, 24)
_CELLS_AT: Final = HEAD_BYTES + 8  # behind letter, relation, tuple kind and number of columns
_CELL_HEAD: Final = 5  # format and length
_WIDTHS: Final = {UUID: 16, INT8: 8, TIMESTAMPTZ: 8, INT4: 4, INT2: 2, BOOL: 1}
_REPEATED_KINDS: Final = frozenset({"completion", "reversal", "release"})
_REQUEST_FUNCTION: Final = "0"  # the third digit of an MTI that wants an answer


class Unfinished(Struct, frozen=True):
    """An attempt that has no outcome.

    Attributes:
        offset: of its record.
        due_us: when its grace ended, Unix microseconds.
    """

    intent_id: bytes
    attempt_id: bytes
    transaction_id: bytes
    network: str
    kind: str
    mti: str
    offset: int
    due_us: int


class _Places(Struct, frozen=True):
    """What a table's records are looked at for, and where it stands."""

    table: Table
    columns: Mapping[str, tuple[int, int]]  # where the cell begins, how wide its value is


class _Open(Struct, frozen=True, gc=False):
    offset: int
    due_us: int
    record: bytes
    table: Table


class OpenAttempts:
    """Follows attempts and outcomes as they go by.

    Args:
        grace_us: past an attempt's deadline.
        open_max: attempts followed at once; beyond it the oldest is let go, and counted.

    Attributes:
        let_go: attempts that were no longer followed for want of room.
        newest_us: commit time of the newest record seen.
    """

    def __init__(self, *, grace_us: int, open_max: int) -> None:
        self._grace_us = grace_us
        self._open_max = open_max
        self._open: OrderedDict[bytes, _Open] = OrderedDict()
        self._places: dict[bytes, _Places | None] = {}
        self.let_go = 0
        self.newest_us = 0

    def __len__(self) -> int:
        return len(self._open)

    def take(self, offset: int, record: bytes, descriptors: Mapping[bytes, bytes]) -> None:
        """Look at one record.

        Raises:
            RecordError: its descriptor is missing or broken.
        """
        places = self._places_of(record[_DESCRIPTOR], descriptors)
        if places is None or record[_KIND_AT] != _INSERT:
            return
        if places.table.name == OUTCOMES:
            self._open.pop(_cell(record, places, "attempt_id"), None)
            return
        committed_us = int.from_bytes(record[_COMMITTED_AT], signed=True)
        self.newest_us = max(self.newest_us, committed_us)
        deadline = int.from_bytes(_cell(record, places, "deadline_at"), signed=True)
        due_us = max(deadline + POSTGRES_EPOCH_US, committed_us) + self._grace_us
        self._open[_cell(record, places, "id")] = _Open(offset, due_us, record, places.table)
        if len(self._open) > self._open_max:
            self._open.popitem(last=False)
            self.let_go += 1

    def overdue(self, now_us: int) -> list[Unfinished]:
        """What should have been finished by now, until it is forgotten.

        Raises:
            RecordError: an attempt cannot be read.
        """
        late = [(id_, one) for id_, one in self._open.items() if one.due_us <= now_us]
        found: list[Unfinished] = []
        for id_, one in late:
            row = read_change(one.record[HEAD_BYTES:], one.table).new
            if row is None or _is_repeated(row):
                self.forget(id_)
            else:
                found.append(_unfinished(one, row))
        return found

    def forget(self, attempt_id: bytes) -> None:
        """Follow an attempt no longer: it was told of, or need not be."""
        self._open.pop(attempt_id, None)

    def floor(self, next_offset: int) -> int:
        """From which offset on the stream has to be read again to know what is known now."""
        for one in self._open.values():  # in the order of their offsets
            return one.offset
        return next_offset

    def _places_of(self, descriptor: bytes, descriptors: Mapping[bytes, bytes]) -> _Places | None:
        try:
            return self._places[descriptor]
        except KeyError:
            pass
        if descriptor not in descriptors:
            raise RecordError("descriptor", f"{descriptor.hex()} is nowhere before it")
        table = read_table(descriptors[descriptor])
        names = {ATTEMPTS: ("id", "deadline_at"), OUTCOMES: ("attempt_id",)}.get(table.name)
        places = None if names is None else _Places(table, _fixed_places(table, names))
        self._places[descriptor] = places
        return places


def _fixed_places(table: Table, names: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Where columns stand in a record whose earlier columns all have a fixed width.

    Raises:
        RecordError: one stands behind a column of varying width.
    """
    places: dict[str, tuple[int, int]] = {}
    at = _CELLS_AT
    for column in table.columns:
        width = _WIDTHS.get(column.type_oid)
        if width is None:
            break
        if column.name in names:
            places[column.name] = (at, width)
        at += _CELL_HEAD + width
    for name in names:
        if name not in places:
            raise RecordError(f"{table.name}.{name}", "it has no fixed place")
    return places


def _cell(record: bytes, places: _Places, name: str) -> bytes:
    """A column's bytes, at their fixed place.

    Raises:
        RecordError: something else stands there: a column before it is NULL.
    """
    at, width = places.columns[name]
    start = at + _CELL_HEAD
    if record[at] != _BINARY or int.from_bytes(record[at + 1 : start]) != width:
        raise RecordError(f"{places.table.name}.{name}", "it is not at its place")
    return record[start : start + width]


def _unfinished(one: _Open, row: Row) -> Unfinished:
    values: dict[str, Any] = row.values()
    return Unfinished(
        intent_id=values["intent_id"],
        attempt_id=values["id"],
        transaction_id=values["transaction_id"],
        network=values["network"],
        kind=values["kind"],
        mti=values["mti"],
        offset=one.offset,
        due_us=one.due_us,
    )


def _is_repeated(row: Row) -> bool:
    """Whether store-and-forward repeats it until it is acknowledged."""
    return row.get("kind") in _REPEATED_KINDS or row.get("mti")[2] != _REQUEST_FUNCTION
