"""The rows that a stream of changes leaves behind, held to the rows that the tables have. Pure.

Theory of operation
-------------------
The newest record of a key is what its row must be. `Comparison` takes in the records of a stream
in their order and keeps of each key a digest of the columns, the record's offset and little else:
some 250 bytes. Then it is shown every row, and lets go of what it has seen; what is left in the
end is in the stream and in no table. Digests are keyed by a secret of the run, so nobody can have
prepared two rows with the same one.

*Which columns.* A descriptor tells the columns of its records, and tables change: those that both
the descriptor and the table have, with the same type, are compared, byte for byte in Postgres'
binary format. The others are listed. Of a column that a row's newest record does not tell, up to
two values are kept: a column that was added since has one, its default, wherever nobody has
written since.

*Restores.* A row of the table `restores` names records that the ledger, set back to a backup, has
never heard of (`ledger.relay.restores`). They say nothing of any row any more, and are not missed
in the tables: they are counted, by restore.

The row itself stays when its record, and all that it names, has left the archive: it is not missed.

*The moment.* Rows are seen in one snapshot, and nothing tells exactly which record was the last
that it shows. But the records below `settled` are shown for certain, and all that it shows lie
below the end that is taken in. For what lies between, each state of a row is accepted.

*What needs no table.* History is inserted and never changed. So an update, a deletion or a
truncation of it is a finding by itself; so is an intent whose version does not grow by one, or
whose amount, currency or owner changes. They are in the stream because Postgres did them: whoever
asked for it was none of ours.

*Memory.* With `passes` > 1 the work is done in so many, each over the intents of one residue of
the last byte of their ids, which is random in a UUIDv7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from struct import Struct as Layout
from typing import Final

import msgspec

from ledger.audit.findings import Findings
from ledger.audit.tables import Cells, Shape, TableRows, packed_key, shape_of
from ledger.errors import PgoutputError
from ledger.pgoutput import TUPLE_AT, read_truncate, read_tuple
from ledger.pgtypes import POSTGRES_EPOCH_US
from ledger.stream.errors import RecordError
from ledger.stream.record import (
    DELETE,
    DESCRIPTOR_ID,
    INSERT,
    TRUNCATE,
    UPDATE,
    Record,
    descriptor_id,
    parse_record,
)

RESIDUE_BYTE: Final = 15  # of an intent's id
RESTORES: Final = "restores"  # a table: which records count no more; nothing ever drops its rows

_DIGEST_BYTES: Final = 16
_VALUES: Final = 2  # kept of a column that the stream does not tell
_NULL: Final = b"\xff\xff\xff\xff"
_INTENT_AT: Final = 32  # of a record
_STATE: Final = Layout(">16s16sQiH")  # digests of all and of fixed columns, offset, version, shape
_SEEN: Final = b""  # a row of this key was shown
_DELETED: Final = b"-"


class Restored(msgspec.Struct):
    """A time that the ledger was set back, as the stream tells it.

    Attributes:
        at_us: Unix microseconds.
        operator: whose word it was.
        note: theirs.
        lost: offsets of the records that count no more.
        rows: of them that no table has.
    """

    at_us: int
    operator: str
    note: str
    lost: range
    rows: int = 0


class Compared(msgspec.Struct):
    """What was looked at.

    Attributes:
        records: of the stream.
        rows: of the tables.
        not_compared: columns that the stream or the table does not have, or not with this type.
        restores: times that the ledger was set back, by the offset of the record that says so.
        restores_unproven: rows that tell of restores before the oldest record that is left, as
            nothing does that was signed.
        unheld: by column, values of rows whose newest record does not tell it: none, one or two.
    """

    records: int = 0
    rows: int = 0
    not_compared: set[str] = msgspec.field(default_factory=set)
    restores: dict[int, Restored] = msgspec.field(default_factory=dict)
    restores_unproven: int = 0
    unheld: dict[str, set[bytes | None]] = msgspec.field(default_factory=dict)


class Comparison:
    """One pass.

    Args:
        tables: all that are to be held to the stream.
        findings: what is wrong is added here.
        compared: counted here.
        settled: records below this offset are shown by the snapshot for certain.
        secret: of this run; keys the digests.
        residue: which of the passes this is.
        passes: how many there are.
        begin: of the first record; what lies before was forgotten.
    """

    def __init__(
        self,
        tables: Iterable[TableRows],
        findings: Findings,
        compared: Compared,
        *,
        settled: int,
        secret: bytes,
        residue: int = 0,
        passes: int = 1,
        begin: int = 0,
    ) -> None:
        self._tables = {table.name: table for table in tables}
        self._numbers = {name: number for number, name in enumerate(sorted(self._tables))}
        self._names = sorted(self._tables)
        self._findings = findings
        self._compared = compared
        self._settled = settled
        self._secret = secret
        self._residue, self._passes = residue, passes
        self._begin = begin
        self._shapes: list[Shape] = []
        self._numbers_of: dict[bytes, int | None] = {}  # by descriptor
        self._states: dict[bytes, bytes] = {}
        self._later: dict[bytes, list[bytes]] = {}
        self._lost: dict[bytes, int] = {}  # keys that a restore has lost -> its record's offset

    # -------------------------------------------------------------------------------- the stream

    def take(
        self, first_offset: int, records: Sequence[bytes], descriptors: Iterable[bytes]
    ) -> None:
        """Take in records that stand together, in the order of the stream."""
        for descriptor in descriptors:
            self._know(descriptor)
        residue, passes = self._residue, self._passes
        if not residue:
            self._compared.records += len(records)
        place = _INTENT_AT + RESIDUE_BYTE
        for offset, data in enumerate(records, first_offset):
            if (
                passes > 1
                and len(data) > place
                and data[place] % passes != residue
                and data[1] != TRUNCATE[0]  # of no intent, and every pass needs it
                and not self._is_restore(data[DESCRIPTOR_ID])
            ):
                continue
            try:
                self._take(offset, parse_record(data))
            except (RecordError, PgoutputError) as error:
                self._add(f"record {offset}", str(error))

    def _take(self, offset: int, record: Record) -> None:
        if record.kind == TRUNCATE:
            self._truncate(offset, record)
            return
        try:
            number = self._numbers_of[record.descriptor]
        except KeyError:
            raise RecordError("descriptor", "the stream does not have it") from None
        if number is None:
            return  # what is wrong was named when its descriptor came
        shape = self._shapes[number]
        change, place = record.change, shape.row.table
        at, old = TUPLE_AT, None
        if change[at] in b"KO":
            old_cells, at = read_tuple(change, at + 1, shape.row, place)
            old = self._key(shape, old_cells)
        if record.kind == DELETE:
            if old is not None:
                self._add(self._name(old), f"record {offset} of the stream deletes this row")
                self._set(offset, old, _DELETED)
            return
        cells, _ = read_tuple(change, at + 1, shape.row, place)
        if place == RESTORES and record.kind == INSERT:
            self._restore(offset, shape, cells)
            if record.intent_id[RESIDUE_BYTE] % self._passes != self._residue:
                return
        key = self._key(shape, cells)
        state = self._state(offset, number, cells)
        if old is not None and old != key:
            self._add(self._name(old), f"record {offset} of the stream gives this row another key")
            self._set(offset, old, _DELETED)
        self._judge(offset, record, shape, key, state)
        self._set(offset, key, state)

    def _judge(self, offset: int, record: Record, shape: Shape, key: bytes, state: bytes) -> None:
        """Name what a change may not do, whatever the tables say."""
        before = self._newest(key)
        name = f"record {offset} of the stream"
        if record.kind == UPDATE and shape.version is None:
            self._add(self._name(key), f"{name} changes this row, and rows of history never change")
        if record.kind == INSERT and before is not None and not record.is_repair:
            self._add(self._name(key), f"{name} inserts this row again")
        if shape.version is None or before is None or record.kind != UPDATE:
            return
        _, fixed_before, _, version_before, number_before = _STATE.unpack(before)
        _, fixed, _, version, number = _STATE.unpack(state)
        if version != version_before + 1:
            reason = f"{name} has version {version} after version {version_before}"
            self._add(self._name(key), reason)
        if number == number_before and fixed != fixed_before:
            self._add(self._name(key), f"{name} changes what an intent has for life")

    def _is_restore(self, descriptor: bytes) -> bool:
        number = self._numbers_of.get(descriptor)
        return number is not None and self._shapes[number].row.table == RESTORES

    def _restore(self, offset: int, shape: Shape, cells: Cells) -> None:
        """Let go of what lost records say: the ledger has never heard of them."""
        columns = {
            column.name: cell or b"" for column, cell in zip(shape.row.columns, cells, strict=True)
        }
        lost = range(*(int.from_bytes(columns[name]) for name in ("lost_from", "lost_until")))
        at_us = int.from_bytes(columns["restored_at"], signed=True) + POSTGRES_EPOCH_US
        who, note = (columns[name].decode(errors="replace") for name in ("operator", "note"))
        self._compared.restores.setdefault(offset, Restored(at_us, who, note, lost))
        for key, state in [*self._states.items()]:
            if _STATE.unpack(state)[2] in lost:
                del self._states[key]
                self._lost[key] = offset
        for states in self._later.values():
            states[:] = [
                one for one in states if one == _DELETED or _STATE.unpack(one)[2] not in lost
            ]

    def _truncate(self, offset: int, record: Record) -> None:
        emptied = set(read_truncate(record.change))
        names = {shape.table.name for shape in self._shapes if shape.oid in emptied}
        for name in sorted(names):
            if not self._residue:
                self._add(name, f"record {offset} of the stream empties this table")
            head = bytes([self._numbers[name]])
            for key in [key for key in self._states if key.startswith(head)]:
                self._set(offset, key, _DELETED)
            for key in [key for key in self._later if key.startswith(head)]:
                self._later[key].append(_DELETED)

    def _set(self, offset: int, key: bytes, state: bytes) -> None:
        self._lost.pop(key, None)
        if offset >= self._settled:
            self._later.setdefault(key, []).append(state)
        elif state == _DELETED:
            self._states.pop(key, None)
        else:
            self._states[key] = state

    def _newest(self, key: bytes) -> bytes | None:
        later = self._later.get(key)
        state = later[-1] if later else self._states.get(key)
        return None if state == _DELETED else state

    # --------------------------------------------------------------------------------- the tables

    def show(self, table: TableRows, rows: Iterable[Cells]) -> None:
        """Hold rows of a table to what the stream says of them."""
        head = bytes([self._numbers[table.name]])
        states, later = self._states, self._later
        for cells in rows:
            self._compared.rows += 1
            key = head + packed_key(cells, table.key)
            state = states.get(key)
            if state == _SEEN:
                self._add(self._name(key), "the table has this row twice")
                continue
            states[key] = _SEEN
            accepted = [one for one in (state, *later.get(key, ())) if one is not None]
            if any(one != _DELETED and self._fits(one, cells) for one in accepted):
                continue
            if state is None and self._is_forgotten(table, cells):
                self._compared.restores_unproven += 1
                continue
            if state is None:
                self._add(self._name(key), "the table has this row, and the stream does not")
            else:
                offset = _STATE.unpack(state)[2]
                reason = f"this row is not what record {offset} of the stream, its newest, says"
                self._add(self._name(key), reason)

    def _is_forgotten(self, table: TableRows, cells: Cells) -> bool:
        """Whether a row tells of a restore that took nothing of what is left, and may be older."""
        if table.name != RESTORES or not self._begin:
            return False
        [until] = [
            cell
            for column, cell in zip(table.columns, cells, strict=True)
            if column.name == "lost_until"
        ]
        return int.from_bytes(until or b"") <= self._begin

    def finish(self, unread: Iterable[str] = ()) -> None:
        """Name what the stream has and no table has shown.

        Args:
            unread: tables that could not be read to their end, and were named.
        """
        for key, restored in self._lost.items():
            self._compared.restores[restored].rows += key not in self._states
        heads = {self._numbers[name] for name in unread}
        for key, state in self._states.items():
            if state == _SEEN or key[0] in heads or _DELETED in self._later.get(key, ()):
                continue
            offset = _STATE.unpack(state)[2]
            self._add(
                self._name(key), f"record {offset} of the stream says it, and the table lacks it"
            )

    def _fits(self, state: bytes, cells: Cells) -> bool:
        digest, _, _, _, number = _STATE.unpack(state)
        shape = self._shapes[number]
        for column, place in shape.unheld:
            values = self._compared.unheld.setdefault(column, set())
            if len(values) < _VALUES:
                values.add(cells[place])
        return bool(self._digest(cells, shape.other) == digest)

    # ------------------------------------------------------------------------------ small helpers

    def _know(self, descriptor: bytes) -> None:
        name = descriptor_id(descriptor)
        if name in self._numbers_of:
            return
        try:
            shape = shape_of(descriptor, self._tables)
        except PgoutputError as error:
            self._add(error.place, error.reason)
            self._numbers_of[name] = None
            return
        self._compared.not_compared |= shape.not_compared
        self._numbers_of[name] = len(self._shapes)
        self._shapes.append(shape)

    def _state(self, offset: int, number: int, cells: Cells) -> bytes:
        shape = self._shapes[number]
        version = 0
        fixed = b""
        if shape.version is not None:
            version = int.from_bytes(cells[shape.version] or b"", signed=True)
            fixed = self._digest(cells, shape.fixed)
        return _STATE.pack(self._digest(cells, shape.own), fixed, offset, version, number)

    def _digest(self, cells: Cells, places: Sequence[int]) -> bytes:
        parts: list[bytes] = []
        for place in places:
            cell = cells[place]
            parts += (_NULL,) if cell is None else (len(cell).to_bytes(4), cell)
        return blake2b(b"".join(parts), digest_size=_DIGEST_BYTES, key=self._secret).digest()

    def _key(self, shape: Shape, cells: Cells) -> bytes:
        return bytes([self._numbers[shape.table.name]]) + packed_key(cells, shape.key)

    def _name(self, key: bytes) -> str:
        return self._tables[self._names[key[0]]].key_name(key[1:])

    def _add(self, where: str, reason: str) -> None:
        self._findings.add("row", where, reason)
