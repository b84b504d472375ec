"""The replication protocol's messages, by hand, and spoilt."""

from __future__ import annotations

import struct

import pytest

from ledger.errors import PgoutputError
from ledger.relay.replication import (
    ENVELOPE_BYTES,
    Keepalive,
    read_begin,
    read_commit,
    read_keepalive,
    sent_at_us,
    status_update,
)
from tests.support.pgoutput import capture, keepalive


def test_a_keepalive_is_read_and_nothing_else_is_one() -> None:
    """Length and letter are checked."""
    assert read_keepalive(keepalive(77, reply_wanted=True)) == Keepalive(77, reply_wanted=True)
    for broken in (b"", b"k", keepalive(1) + b"x", b"w" + keepalive(1)[1:]):
        with pytest.raises(PgoutputError, match="keepalive"):
            read_keepalive(broken)


def test_the_servers_clock_is_read_from_either_envelope() -> None:
    """What it sent in one burst it sent within seconds of its first commit."""
    instants = [sent_at_us(data) for data in capture()]
    begun = next(data for data in capture() if data[ENVELOPE_BYTES:][:1] == b"B")
    committed_at_us = read_begin(begun[ENVELOPE_BYTES:]).committed_at_us
    assert all(0 <= at - committed_at_us < 10_000_000 for at in instants)


def test_a_status_update_reports_what_is_durable_and_no_more() -> None:
    """Written is what has come; flushed and applied are what the stream holds."""
    data = status_update(received_lsn=9, durable_lsn=5, now_us=946_684_800_000_001)
    assert struct.unpack(">cQQQqB", data) == (b"r", 9, 5, 5, 1, 0)


def test_begin_and_commit_are_checked() -> None:
    """Lengths, meaningless flags and places that contradict each other."""
    for broken in (b"B", b"B" + bytes(21)):
        with pytest.raises(PgoutputError, match="B length"):
            read_begin(broken)
    layout = ">cBQQq"
    for broken in (
        b"C",
        struct.pack(layout, b"C", 1, 1, 2, 0),
        struct.pack(layout, b"C", 0, 2, 2, 0),
    ):
        with pytest.raises(PgoutputError, match="C "):
            read_commit(broken)
