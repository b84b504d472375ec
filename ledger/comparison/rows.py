"""What a stretch of a stream leaves behind in rows, however it got there. Pure.

Where one stream was repaired it has rows as the tables showed them, and the other has the changes
that made them. Record by record these cannot be compared. But once both are past the repair, they
must have left the same rows of history, and the same newest version of each payment intent.

*What is compared.* Of history the new row of each insert, byte for byte; anything else that was
done to history, as it was done. Of an intent its newest version and that row; where Postgres left
out a large value that an update did not change, the version alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from attrs import define, field

from ledger.relay.restores import TABLE as RESTORES
from ledger.stream.changes import Table, Value, read_change, read_table
from ledger.stream.record import DELETE, INSERT, TRUNCATE, parse_record

VERSIONED: Final = "payment_intents"
_DIGEST_BYTES: Final = 16

Found = tuple[bytes, str, int]  # the record, where it stands, its offset


@define
class Rows:
    """The rows of one stream's stretch.

    Args:
        rows_max: how many to remember; 1 kB each at most.

    Attributes:
        notes: rows of `restores`, by digest: the timeline that was left when the ledger was set
            back, and the offset of the record that says so.
        repaired: how many of them a repair brought; counted by who reads them.
        overfull: there were more than `rows_max`, or not all are there: nothing can be said.
    """

    rows_max: int
    repaired: int = 0
    overfull: bool = False
    notes: dict[bytes, tuple[Value, int]] = field(factory=dict)
    history: dict[bytes, Found] = field(factory=dict)
    intents: dict[bytes, tuple[int, bytes | None, Found]] = field(factory=dict)
    _tables: dict[bytes, Table] = field(factory=dict)

    def take(
        self, data: bytes, descriptors: Mapping[bytes, bytes], where: Callable[[], Found]
    ) -> None:
        """Take in one record, in the order of the stream.

        Raises:
            RecordError: it is none, or does not fit its descriptor.
            KeyError: its descriptor has not come.
        """
        if self.overfull:
            return
        record = parse_record(data)
        table = self._tables.get(record.descriptor)
        if table is None:
            table = self._tables[record.descriptor] = read_table(descriptors[record.descriptor])
        if table.name == VERSIONED and record.kind not in (DELETE, TRUNCATE):
            row = read_change(record.change, table).new
            assert row is not None
            digest = None if row.missing else _digest(b"".join(_framed(row.cells)))
            self.intents[record.intent_id] = (row.get("version"), digest, where())
        else:
            kind = b"" if record.kind == INSERT else record.kind
            digest = _digest(kind + record.change[1:])
            found = self.history[digest] = where()
            if table.name == RESTORES and record.kind == INSERT:
                row = read_change(record.change, table).new
                assert row is not None
                self.notes[digest] = row.get("timeline_before"), found[2]
        if len(self.history) + len(self.intents) > self.rows_max:
            self.give_up()

    def give_up(self) -> None:
        """Say nothing of these rows: there are too many, or some are not there to be read."""
        self.overfull = True
        self.history.clear()
        self.intents.clear()


def unlike(first: Rows, second: Rows) -> list[tuple[Found | None, Found | None]]:
    """What one has and the other has not, or has otherwise; in the order of the streams."""
    pairs: list[tuple[Found | None, Found | None]] = []
    for digest, found in first.history.items():
        if digest not in second.history:
            pairs.append((found, None))
    for digest, found in second.history.items():
        if digest not in first.history:
            pairs.append((None, found))
    for intent_id in first.intents.keys() | second.intents.keys():
        one, other = first.intents.get(intent_id), second.intents.get(intent_id)
        if one is None or other is None or not _same_version(one, other):
            pairs.append((one and one[2], other and other[2]))
    return sorted(pairs, key=lambda pair: [found[2] if found else -1 for found in pair])


def _same_version(
    one: tuple[int, bytes | None, Found], other: tuple[int, bytes | None, Found]
) -> bool:
    unknown = one[1] is None or other[1] is None
    return one[0] == other[0] and (unknown or one[1] == other[1])


def _framed(cells: tuple[bytes | None, ...]) -> list[bytes]:
    parts: list[bytes] = []
    for cell in cells:
        parts += (b"\xff\xff\xff\xff",) if cell is None else (len(cell).to_bytes(4), cell)
    return parts


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
