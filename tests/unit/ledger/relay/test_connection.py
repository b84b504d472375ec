"""Taking envelopes out of libpq, without a server."""

from __future__ import annotations

from typing import cast

import pytest
from psycopg import OperationalError, pq

from ledger.errors import ConnectionLostError
from ledger.relay.connection import ReplicationSession


class Libpq:
    """A connection in a COPY: what it has read, and what each look at the socket brings."""

    def __init__(self, looks: list[list[bytes] | OperationalError]) -> None:
        self._looks = looks
        self._held: list[bytes] = []
        self.notice_handler: object = None
        self.nonblocking = 0

    def consume_input(self) -> None:
        """Look at the socket."""
        found = self._looks.pop(0) if self._looks else []
        if isinstance(found, OperationalError):
            raise found
        self._held += found

    def get_copy_data(self, async_: int) -> tuple[int, memoryview]:
        """The next message of those that were read."""
        assert async_
        message = self._held.pop(0) if self._held else b""
        return len(message), memoryview(message)


def _session(*looks: list[bytes] | OperationalError) -> ReplicationSession:
    return ReplicationSession(cast("pq.abc.PGconn", Libpq(list(looks))))


def test_what_one_look_brings_is_given_out_at_once() -> None:
    """Envelopes that libpq has read do not wait for the next ones to come."""
    session = _session([b"w1", b"w2"])
    assert session.take(10) == [b"w1", b"w2"]
    assert session.take(10) == []


def test_looks_go_on_while_they_bring_something() -> None:
    """One read of libpq's is a part of what the socket has; the bound ends it, at a message."""
    assert _session([b"w1"], [b"w2"], [b"w3"]).take(10) == [b"w1", b"w2", b"w3"]
    assert _session([b"w1"], [b"w2", b"w3"], [b"w4"]).take(2) == [b"w1", b"w2", b"w3"]


def test_what_came_before_a_session_was_lost_is_given_out() -> None:
    """The loss is told once there is nothing else to give."""
    lost = OperationalError("the connection is gone")
    session = _session([b"w1"], lost, lost)
    assert session.take(10) == [b"w1"]
    with pytest.raises(ConnectionLostError):
        session.take(10)
