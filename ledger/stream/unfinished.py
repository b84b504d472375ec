"""Attempts that were recorded and never finished: found by whoever reads the stream. Pure.

Theory of operation. An attempt is written before its message leaves; its outcome follows within its
deadline, or says `unknown`. One without any outcome, past its deadline and a grace for restarts and
takeovers, was dropped by everybody who could have cared for it. The ledger's own recovery cannot
see that it failed to look; the stream can, because it sees both rows go by.

Advices (function digit 2 of the MTI, and reversals) are repeated until they are acknowledged, for
hours if need be, and store-and-forward tells of them. They are let go here.

What is looked at of each change stands at a fixed place in it. Most attempts are finished within
milliseconds, so of each only the id is looked at; when it is due is worked out once somebody asks
and it is still open, and the rest is decoded if it is late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from struct import Struct as Layout
from typing import Any, Final

from msgspec import Struct

from ledger.pgtypes import BOOL, INT2, INT4, INT8, POSTGRES_EPOCH_US, TIMESTAMPTZ, UUID, UUID_BYTES
from ledger.stream.changes import Row, Table, read_change, read_table
from ledger.stream.errors import RecordError
from ledger.stream.record import HEAD_BYTES

ATTEMPTS: Final = "attempts"
OUTCOMES: Final = "outcomes"
_INSERT: Final = ord("I")
_KIND_AT: Final = 1  # in a record
_DESCRIPTOR: Final = slice(24, 32)
_COMMITTED: Final = slice(16, 24)
_CELLS_AT: Final = HEAD_BYTES + 8  # behind letter, relation, tuple kind and number of columns
_CELL_HEAD: Final = 5  # format and length
_UUID_CELL: Final = b"b" + UUID_BYTES.to_bytes(4)  # what a UUID follows in its cell
_INSTANT_CELL: Final = b"b" + (8).to_bytes(4)
_WIDTHS: Final = {UUID: 16, INT8: 8, TIMESTAMPTZ: 8, INT4: 4, INT2: 2, BOOL: 1}
_INSTANT: Final = Layout(">q")
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


class _Look(Struct, frozen=True, gc=False):
    """How a table's records are looked at.

    Attributes:
        table: as their descriptor tells it.
        id_head: where the cell of the attempt's id begins.
        id_: where the id stands.
        deadline_at: where the cell of the deadline begins; 0 in outcomes, which have none.
    """

    table: Table
    id_head: slice
    id_: slice
    deadline_at: int = 0


class _Open(Struct, gc=False):
    """An attempt without an outcome; `due_us` is 0 until somebody has asked."""

    offset: int
    record: bytes
    look: _Look
    due_us: int = 0


class OpenAttempts:
    """Follows attempts and outcomes as they go by.

    Args:
        grace_us: past an attempt's deadline.
        open_max: attempts followed at once; beyond it the oldest is let go, and counted.

    Attributes:
        let_go: attempts that were no longer followed for want of room.
    """

    def __init__(self, *, grace_us: int, open_max: int) -> None:
        self._grace_us = grace_us
        self._open_max = open_max
        self._open: OrderedDict[bytes, _Open] = OrderedDict()
        self._looks: dict[bytes, _Look | None] = {}
        self._newest = bytes(HEAD_BYTES)  # record
        self.let_go = 0

    @property
    def newest_us(self) -> int:
        """Commit time of the newest attempt seen; 0 before the first."""
        return int.from_bytes(self._newest[_COMMITTED], signed=True)

    def __len__(self) -> int:
        return len(self._open)

    def take(
        self, records: Iterable[tuple[int, int, bytes]], descriptors: Mapping[bytes, bytes]
    ) -> None:
        """Look at the records of a page.

        Raises:
            RecordError: a descriptor is missing or broken, or a row is not as it should be.
        """
        looks, open_ = self._looks, self._open
        for _, offset, record in records:
            try:
                look = looks[record[_DESCRIPTOR]]
            except KeyError:
                look = self._look_at(record[_DESCRIPTOR], descriptors)
            if look is None or record[_KIND_AT] != _INSERT:
                continue
            if record[look.id_head] != _UUID_CELL:
                raise RecordError(f"{look.table.name} id", "it is not at its place")
            if look.deadline_at:
                open_[record[look.id_]] = _Open(offset, record, look)
                self._newest = record
            else:
                open_.pop(record[look.id_], None)
        while len(open_) > self._open_max:
            open_.popitem(last=False)
            self.let_go += 1

    def overdue(self, now_us: int) -> list[Unfinished]:
        """What should have been finished by now, until it is forgotten.

        Raises:
            RecordError: an attempt cannot be read.
        """
        late = [(id_, one) for id_, one in self._open.items() if self._due_us(one) <= now_us]
        found: list[Unfinished] = []
        for id_, one in late:
            row = read_change(one.record[HEAD_BYTES:], one.look.table).new
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

    def _due_us(self, one: _Open) -> int:
        if not one.due_us:
            at = one.look.deadline_at
            if one.record[at : at + _CELL_HEAD] != _INSTANT_CELL:
                raise RecordError("attempts.deadline_at", "it is not at its place")
            (deadline,) = _INSTANT.unpack_from(one.record, at + _CELL_HEAD)
            (committed_us,) = _INSTANT.unpack_from(one.record, _COMMITTED.start)
            one.due_us = max(deadline + POSTGRES_EPOCH_US, committed_us) + self._grace_us
        return one.due_us

    def _look_at(self, id_: bytes, descriptors: Mapping[bytes, bytes]) -> _Look | None:
        if id_ not in descriptors:
            raise RecordError("descriptor", f"{id_.hex()} is nowhere before it")
        table = read_table(descriptors[id_])
        look = None
        if table.name == ATTEMPTS:
            look = _look(table, "id", "deadline_at")
        elif table.name == OUTCOMES:
            look = _look(table, "attempt_id")
        self._looks[id_] = look
        return look


def _look(table: Table, id_: str, deadline: str = "") -> _Look:
    """Where columns stand in a table's records: all before them have a fixed width.

    Raises:
        RecordError: one stands behind a column of varying width, or is not published.
    """
    places: dict[str, int] = {}
    at = _CELLS_AT
    for column in table.columns:
        if (width := _WIDTHS.get(column.type_oid)) is None:
            break
        places[column.name] = at
        at += _CELL_HEAD + width
    for name in (id_, deadline):
        if name and name not in places:
            raise RecordError(f"{table.name}.{name}", "it has no fixed place")
    at = places[id_]
    return _Look(
        table,
        id_head=slice(at, at + _CELL_HEAD),
        id_=slice(at + _CELL_HEAD, at + _CELL_HEAD + UUID_BYTES),
        deadline_at=places[deadline] if deadline else 0,
    )


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
