"""A record: one change of one row, as it stands in the stream, the Merkle tree and the archive.

Theory of operation
-------------------
A record is a head of fixed size and then the change exactly as Postgres sent it, a message of the
`pgoutput` plug-in from its letter on (PostgreSQL manual, "Logical Replication Message Formats").
Nobody has re-encoded it, so what the Merkle tree's leaf is a hash of is Postgres' own evidence.

All integers are big-endian.

    offset size
    0      1    version = 1
    1      1    kind: the change's letter: I insert, U update, D delete, T truncate
    2      1    flags: bit 0 = repair, read from the tables and not from the WAL
    3      1    reserved, 0
    4      4    ordinal: place among the published changes of its transaction, from 0
    8      8    commit LSN of that transaction
    16     8    its commit time, microseconds since 1970-01-01 UTC
    24     8    descriptor: the first 8 bytes of SHA-256 over the relation's descriptor
    32     16   intent id: the first column of every published table; zeros if there is none
    48     …    the change

A *descriptor* is the relation message (`R`) that tells a table's columns, as received. It is named
by its content, stored beside the records, and is not a record itself.

An *offset* is a record's place in its stream, from 0: the index of its leaf in the Merkle tree.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct as Layout
from typing import Final

import msgspec

from ledger.stream.errors import RecordError

VERSION: Final = 1
INSERT: Final = b"I"
UPDATE: Final = b"U"
DELETE: Final = b"D"
TRUNCATE: Final = b"T"
KINDS: Final = frozenset((INSERT[0], UPDATE[0], DELETE[0], TRUNCATE[0]))

FLAGS_AT: Final = 2
REPAIR: Final = 0x01  # flags bit 0

HEAD: Final = Layout(">BBBxIQq8s16s")
HEAD_BYTES: Final = HEAD.size  # 48
DESCRIPTOR_ID: Final = slice(24, 32)  # of a record, its descriptor's id
DESCRIPTOR_ID_BYTES: Final = 8
NO_INTENT: Final = bytes(16)

# pack_head(VERSION, kind, flags, ordinal, commit_lsn, committed_at_us, descriptor, intent_id):
# `HEAD.pack` itself, because the relay calls it once a change. `kind` is the letter's number.
pack_head = HEAD.pack


class Mark(msgspec.Struct, frozen=True, gc=False):
    """How far a stream has taken in what one Postgres committed.

    Attributes:
        system_identifier: of the cluster, as IDENTIFY_SYSTEM tells it.
        timeline: of the cluster's history.
        end_lsn: where the WAL of the last transaction that is in the stream as a whole ends.
    """

    system_identifier: int
    timeline: int
    end_lsn: int


class Position(msgspec.Struct, frozen=True, gc=False, order=True):
    """Where a record came from: grows along a stream, for as long as one timeline lasts."""

    commit_lsn: int
    ordinal: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record, taken apart; the change is not."""

    kind: bytes
    flags: int
    ordinal: int
    commit_lsn: int
    committed_at_us: int
    descriptor: bytes
    intent_id: bytes
    change: bytes

    @property
    def is_repair(self) -> bool:
        """Whether it was read from the tables, after a gap in the WAL."""
        return bool(self.flags & REPAIR)

    @property
    def position(self) -> Position:
        """Where in the WAL it came from; of a repair, where its snapshot was taken."""
        return Position(self.commit_lsn, self.ordinal)


def parse_record(data: bytes) -> Record:
    """Take a record apart.

    Raises:
        RecordError: it is no record of this version; names the field.
    """
    if len(data) <= HEAD_BYTES:
        raise RecordError("length", f"{len(data)} bytes; a record has more than {HEAD_BYTES}")
    version, kind, flags, ordinal, commit_lsn, committed_at_us, descriptor, intent_id = (
        HEAD.unpack_from(data)
    )
    if version != VERSION:
        raise RecordError("version", f"{version}; this code reads {VERSION}")
    if kind not in KINDS:
        raise RecordError("kind", f"byte {kind:#04x} names no change")
    if flags & ~REPAIR or data[3]:
        raise RecordError("flags", "bits are set that have no meaning")
    if data[HEAD_BYTES] != kind:
        raise RecordError("change", "its letter is not the record's kind")
    return Record(
        kind=data[1:2],
        flags=flags,
        ordinal=ordinal,
        commit_lsn=commit_lsn,
        committed_at_us=committed_at_us,
        descriptor=descriptor,
        intent_id=intent_id,
        change=data[HEAD_BYTES:],
    )


def position_of(data: bytes) -> Position:
    """Where a record came from, without taking the rest of it apart."""
    _, _, _, ordinal, commit_lsn, *_ = HEAD.unpack_from(data)
    return Position(commit_lsn, ordinal)


def descriptor_id(descriptor: bytes) -> bytes:
    """The name of a relation's descriptor: eight bytes that stand in each of its records."""
    return sha256(descriptor).digest()[:DESCRIPTOR_ID_BYTES]
