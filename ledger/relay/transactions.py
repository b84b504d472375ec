"""Whole transactions out of the server's messages: pure, fed by bytes, and fast.

Theory of operation
-------------------
`Assembler.feed` takes envelopes in their order. Between a transaction's begin and its commit
each change becomes a record of the stream: a head with position, commit time, the relation's
descriptor and the payment intent, and then the change as it came. At the commit the transaction is
handed on as a `Portion`. One that outgrows a portion is handed on in several: what the server
sends is committed already, so its beginning can be stored before its end has come.

*Duplicates.* The server sends again whatever it has not been told to be durable. Transactions that
were in the stream as a whole are dropped by their commit's LSN; of one whose beginning only was
there, the changes up to the last one stored are dropped by their place.

*Relations.* A table's description (`R`) comes before its first change on each connection and again
after it was altered. Where partitions are published as their root, each partition's comes too, and
the root's again with each new partition. So they are kept by relation and by content, and nothing
is made of one that no change follows.

*What should never happen.* Only payment intents are ever updated, and no row is ever deleted. A
change that says otherwise is recorded like every other, for it is in the database now, and
reported besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ledger.errors import PgoutputError
from ledger.pgoutput import (
    DELETE,
    INSERT,
    RELATION,
    TRUNCATE,
    TUPLE_AT,
    UPDATE,
    RowShape,
    first_column,
    read_relation,
    read_truncate,
)
from ledger.relay.replication import (
    BEGIN,
    COMMIT,
    ENVELOPE_BYTES,
    KEEPALIVE,
    MESSAGE,
    ORIGIN,
    TYPE,
    WAL_DATA,
    Begin,
    Commit,
    read_begin,
    read_commit,
    read_keepalive,
)
from ledger.stream.record import NO_INTENT, VERSION, Position, descriptor_id, pack_head

MUTABLE_TABLES: Final = frozenset({"payment_intents"})
KEEPALIVE_LETTER: Final = bytes([KEEPALIVE])
ORDINALS_END: Final = 1 << 32  # ordinals have four bytes

# Where things stand in an envelope that carries a change: what every ordinary change of a relation
# has in common, from its letter to the length of its first column, and that column.
_LOOK: Final = slice(ENVELOPE_BYTES, ENVELOPE_BYTES + 13)
_INTENT: Final = slice(ENVELOPE_BYTES + 13, ENVELOPE_BYTES + 29)
_INTENT_END: Final = ENVELOPE_BYTES + 29
_OID: Final = slice(ENVELOPE_BYTES + 1, ENVELOPE_BYTES + 5)
_MESSAGE: Final = slice(ENVELOPE_BYTES, None)


class Portion(msgspec.Struct):
    """Consecutive records of one transaction, usually all of them.

    Attributes:
        commit_lsn: of the transaction.
        committed_at_us: Unix microseconds, by the database's clock.
        first_ordinal: of the first record's change.
        end_lsn: where the transaction's WAL ends if this is its end; None while more follows.
        records: as `ledger.stream.record` lays them out.
        descriptors: relations that this connection's records use for the first time.
    """

    commit_lsn: int
    committed_at_us: int
    first_ordinal: int = 0
    end_lsn: int | None = None
    records: list[bytes] = msgspec.field(default_factory=list)
    descriptors: list[bytes] = msgspec.field(default_factory=list)


class Reached(msgspec.Struct, frozen=True):
    """The server has read up to `lsn`; everything committed before has been handed on."""

    lsn: int
    reply_wanted: bool


class Tampering(msgspec.Struct, frozen=True):
    """A change that nothing of ours makes: a row of history updated, a row or a table deleted."""

    kind: str  # U, D or T
    table: str
    commit_lsn: int
    ordinal: int


class _Relation(msgspec.Struct):
    """What is kept of a relation between its description and its changes."""

    shape: RowShape
    descriptor: bytes
    descriptor_id: bytes
    used: bool = False


class Assembler:
    """Makes records of one connection's messages.

    Args:
        after_lsn: transactions whose commit lies before are in the stream already.
        last: the stream's last record, for a transaction of which only the beginning is there.
        portion_records_max: a transaction is handed on in portions of at most so many records.

    Attributes:
        dropped_total: changes that the stream had already.
        messages_total: logical messages (`M`), such as heartbeats.
        tampering: what should never happen, until somebody takes it away.
    """

    def __init__(self, *, after_lsn: int, last: Position | None, portion_records_max: int) -> None:
        self._after_lsn = after_lsn
        self._last = last
        self._portion_records_max = portion_records_max
        self._relations: dict[bytes, _Relation] = {}
        # Descriptors' ids by how ordinary changes look, of relations that records have used.
        self._ordinary: dict[bytes, bytes] = {}
        self._begin: Begin | None = None
        self._portion: Portion | None = None
        self._drop_below = 0  # ordinals of a transaction that are in the stream
        self.dropped_total = 0
        self.messages_total = 0
        self.tampering: list[Tampering] = []

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun whose commit has not come."""
        return self._begin is not None

    def feed(self, envelopes: Iterable[bytes]) -> list[Portion | Reached]:
        """Take envelopes in their order; returns what they complete, in that order.

        Raises:
            PgoutputError: a message is none of protocol 1, or comes where it cannot.
        """
        done: list[Portion | Reached] = []
        ordinary, portion = self._ordinary, self._plain_portion()
        for data in envelopes:
            name = ordinary.get(data[_LOOK])
            if name is None or portion is None or len(data) < _INTENT_END:
                self._take(data, done)
                ordinary, portion = self._ordinary, self._plain_portion()
                continue
            records = portion.records
            records.append(
                pack_head(
                    VERSION,
                    data[ENVELOPE_BYTES],
                    0,
                    portion.first_ordinal + len(records),
                    portion.commit_lsn,
                    portion.committed_at_us,
                    name,
                    data[_INTENT],
                )
                + data[_MESSAGE]
            )
            if len(records) >= self._portion_records_max:
                self._hand_on(portion, done)
                portion = self._portion
        return done

    def _plain_portion(self) -> Portion | None:
        """The portion that takes what comes as it comes: none while something is to be dropped."""
        return None if self._drop_below else self._portion

    def _take(self, data: bytes, done: list[Portion | Reached]) -> None:
        """Take any envelope."""
        if data[:1] == KEEPALIVE_LETTER:
            keepalive = read_keepalive(data)
            done.append(Reached(keepalive.end_lsn, keepalive.reply_wanted))
            return
        if len(data) <= ENVELOPE_BYTES or data[0] != WAL_DATA:
            raise PgoutputError("envelope", f"{len(data)} bytes carry no message")
        kind, message = data[ENVELOPE_BYTES], data[_MESSAGE]
        if kind in (INSERT, UPDATE, DELETE):
            relation = self._relation(kind, data[_OID])
            self._add(kind, relation, _slow_intent(message, relation.shape), message, done)
        elif kind == BEGIN:
            self._start(read_begin(message))
        elif kind == COMMIT:
            self._finish(read_commit(message), done)
        elif kind == RELATION:
            self._know(message)
        elif kind == TRUNCATE:
            self._truncate(message, done)
        elif kind == MESSAGE:
            self.messages_total += 1
        elif kind not in (ORIGIN, TYPE):
            raise PgoutputError("message", f"kind {kind:#04x} is not one of protocol 1")

    # ------------------------------------------------------------------------------ transactions

    def _start(self, begin: Begin) -> None:
        if self._begin is not None:
            raise PgoutputError("B", "the transaction before has not ended")
        self._begin = begin
        self._portion = Portion(begin.commit_lsn, begin.committed_at_us)
        if begin.commit_lsn < self._after_lsn:
            self._drop_below = ORDINALS_END
        elif self._last is not None and self._last.commit_lsn == begin.commit_lsn:
            self._drop_below = self._last.ordinal + 1
        else:
            self._drop_below = 0

    def _finish(self, commit: Commit, done: list[Portion | Reached]) -> None:
        begin, portion = self._begin, self._portion
        if begin is None or portion is None:
            raise PgoutputError("C", "no transaction has begun")
        if commit.commit_lsn != begin.commit_lsn:
            raise PgoutputError("C position", "it is another transaction's than the one begun")
        self._begin = self._portion = None
        if commit.end_lsn > self._after_lsn:
            portion.end_lsn = commit.end_lsn
            done.append(portion)

    def _hand_on(self, portion: Portion, done: list[Portion | Reached]) -> None:
        """Hand on what there is of a transaction, and go on with its next portion."""
        done.append(portion)
        self._portion = Portion(
            portion.commit_lsn,
            portion.committed_at_us,
            portion.first_ordinal + len(portion.records),
        )

    # --------------------------------------------------------------------------------- relations

    def _know(self, message: bytes) -> None:
        oid, shape = read_relation(message)
        known = self._relations.get(oid)
        if known is not None and known.descriptor == message:
            return
        if known is not None:  # altered: its changes look different from now on
            gone = known.descriptor_id
            self._ordinary = {look: name for look, name in self._ordinary.items() if name != gone}
        self._relations[oid] = _Relation(shape, message, descriptor_id(message))

    def _relation(self, kind: int, oid: bytes) -> _Relation:
        relation = self._relations.get(oid)
        if relation is None:
            raise PgoutputError(chr(kind), "its relation was not described")
        return relation

    def _use(self, relation: _Relation, portion: Portion) -> None:
        """Tell a relation's columns before its first record; the next ones are taken faster."""
        relation.used = True
        portion.descriptors.append(relation.descriptor)
        shape, oid = relation.shape, relation.descriptor[1:TUPLE_AT]
        if shape.prefix:
            for kind in _kinds_in_order(shape.table):
                self._ordinary[bytes([kind]) + oid + shape.prefix] = relation.descriptor_id

    # ----------------------------------------------------------------------------------- changes

    def _truncate(self, message: bytes, done: list[Portion | Reached]) -> None:
        """One record a truncation, under the first relation that it names."""
        relations = [self._relation(TRUNCATE, oid) for oid in read_truncate(message)]
        self._add(TRUNCATE, relations[0], NO_INTENT, message, done, also=relations[1:])

    def _add(
        self,
        kind: int,
        relation: _Relation,
        intent_id: bytes,
        message: bytes,
        done: list[Portion | Reached],
        also: Sequence[_Relation] = (),
    ) -> None:
        portion = self._portion
        if portion is None:
            raise PgoutputError(chr(kind), "no transaction has begun")
        ordinal = portion.first_ordinal + len(portion.records)
        if ordinal < self._drop_below:
            self.dropped_total += 1
            portion.first_ordinal += 1
            if portion.first_ordinal == self._drop_below:
                self._drop_below = 0
            return
        if not relation.used:
            self._use(relation, portion)
        if kind not in _kinds_in_order(relation.shape.table):
            self.tampering += (
                Tampering(chr(kind), table.shape.table, portion.commit_lsn, ordinal)
                for table in (relation, *also)
            )
        name, commit_lsn, at_us = (
            relation.descriptor_id,
            portion.commit_lsn,
            portion.committed_at_us,
        )
        head = pack_head(VERSION, kind, 0, ordinal, commit_lsn, at_us, name, intent_id)
        portion.records.append(head + message)
        if len(portion.records) >= self._portion_records_max:
            self._hand_on(portion, done)


def _kinds_in_order(table: str) -> bytes:
    return b"IU" if table in MUTABLE_TABLES else b"I"


def _slow_intent(message: bytes, shape: RowShape) -> bytes:
    """The intent of a change, found the careful way; zeros where there is none."""
    cell = first_column(message, shape)
    if not shape.prefix or cell is None:
        return NO_INTENT
    if len(cell) != len(NO_INTENT):
        raise PgoutputError(f"{chr(message[0])} {shape.table} column 1", "it is no binary uuid")
    return cell
