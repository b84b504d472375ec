"""The replication protocol's messages but for the changes, read and written as bytes alone.

Theory of operation
-------------------
Replication runs inside a COPY in both directions. The server sends *envelopes*: `w` carries one
message of the output plug-in, `k` says that the server is alive and how far it has read. We send
status updates, `r`. Inside `w` is one message of `pgoutput`, protocol version 1: without streaming
of open transactions and without two-phase commits there are ten kinds, and every one of them is
about a transaction that has been committed. Those that say what happened to rows are read by
`ledger.pgoutput`.

Sources: PostgreSQL manual, "Streaming Replication Protocol" and "Logical Replication Message
Formats". All integers are big-endian; instants are microseconds since 2000-01-01.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Final

import msgspec

from ledger.errors import PgoutputError
from ledger.pgtypes import POSTGRES_EPOCH_US

WAL_DATA: Final = ord("w")
KEEPALIVE: Final = ord("k")
ENVELOPE_BYTES: Final = 25  # of `w`, before the plug-in's message

BEGIN: Final = ord("B")
COMMIT: Final = ord("C")
ORIGIN: Final = ord("O")
TYPE: Final = ord("Y")
MESSAGE: Final = ord("M")

_KEEPALIVE: Final = Layout(">xQqB")
_W_CLOCK_AT: Final = 17
_K_CLOCK_AT: Final = 9
_STATUS: Final = Layout(">cQQQqB")
_BEGIN: Final = Layout(">xQqI")
_COMMIT: Final = Layout(">xBQQq")


class Keepalive(msgspec.Struct, frozen=True, gc=False):
    """The server is alive; it has read up to `end_lsn`."""

    end_lsn: int
    reply_wanted: bool


class Begin(msgspec.Struct, frozen=True, gc=False):
    """A transaction's changes follow; `commit_lsn` is where its commit stands in the WAL."""

    commit_lsn: int
    committed_at_us: int


class Commit(msgspec.Struct, frozen=True, gc=False):
    """A transaction is whole; its WAL ends at `end_lsn`."""

    commit_lsn: int
    end_lsn: int


# --------------------------------------------------------------------------------- the envelope


def read_keepalive(data: bytes) -> Keepalive:
    """Read a `k`.

    Raises:
        PgoutputError: it is not one.
    """
    if len(data) != _KEEPALIVE.size or data[0] != KEEPALIVE:
        raise PgoutputError("keepalive", f"{len(data)} bytes; it has {_KEEPALIVE.size}")
    end_lsn, _, reply_wanted = _KEEPALIVE.unpack(data)
    return Keepalive(end_lsn, bool(reply_wanted))


def sent_at_us(envelope: bytes) -> int:
    """When the server sent a `w` or a `k`, by its own clock; Unix microseconds."""
    at = _W_CLOCK_AT if envelope[0] == WAL_DATA else _K_CLOCK_AT
    return int.from_bytes(envelope[at : at + 8], signed=True) + POSTGRES_EPOCH_US


def status_update(*, received_lsn: int, durable_lsn: int, now_us: int) -> bytes:
    """Tell the server how far we are.

    Args:
        received_lsn: the end of what has come. Where that is as far as the server has read, it
            does not ask again whether we are there.
        durable_lsn: the end of what is in the stream for good: the server may forget it.
        now_us: Unix microseconds.
    """
    return _STATUS.pack(b"r", received_lsn, durable_lsn, durable_lsn, now_us - POSTGRES_EPOCH_US, 0)


# -------------------------------------------------------------------------- around transactions


def read_begin(message: bytes) -> Begin:
    """Read a `B`; raises PgoutputError."""
    if len(message) != _BEGIN.size:
        raise PgoutputError("B length", f"{len(message)} bytes; it has {_BEGIN.size}")
    commit_lsn, committed_at_us, _ = _BEGIN.unpack(message)
    return Begin(commit_lsn, committed_at_us + POSTGRES_EPOCH_US)


def read_commit(message: bytes) -> Commit:
    """Read a `C`; raises PgoutputError."""
    if len(message) != _COMMIT.size:
        raise PgoutputError("C length", f"{len(message)} bytes; it has {_COMMIT.size}")
    flags, commit_lsn, end_lsn, _ = _COMMIT.unpack(message)
    if flags:
        raise PgoutputError("C flags", "bits are set that have no meaning")
    if end_lsn <= commit_lsn:
        raise PgoutputError("C end", "it lies before the commit")
    return Commit(commit_lsn, end_lsn)
