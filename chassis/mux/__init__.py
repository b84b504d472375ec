"""The internal link between processes: many requests in flight on one connection, in batches.

Theory of operation. A frame is a 4-byte big-endian length and one msgpack array of
`[request_id, body]` pairs; bodies are msgspec records of one tagged union per direction, given when
the connection is built. One frame carries everything that was queued in one tick: the writer task
of a connection sleeps until something is put in its outbox, wakes in the next tick of the
scheduler, and sends all of it in one `send_all`. So a busy process pays the price of a system call
and of a wake-up once per batch, and an idle one adds no delay.

A request is answered exactly once, in any order, under its id, which the client counts up and
never uses again. The end of a connection fails every waiter at once; nothing is ever sent twice.

Bounds (`chassis.settings.tree.MuxLimits`): bytes and messages of a frame, requests in flight,
messages and bytes in an outbox, connections of a server. A peer that breaks the format loses its
connection; a peer that does not read fills its own outbox and then loses its connection too.
"""

from chassis.mux.client import MuxClient
from chassis.mux.connection import MuxCounters
from chassis.mux.dial import dial_unix
from chassis.mux.errors import (
    MuxClosedError,
    MuxError,
    MuxMessageTooLargeError,
    MuxOverloadError,
    MuxProtocolError,
)
from chassis.mux.server import MuxPeer, MuxServer

__all__ = [
    "MuxClient",
    "MuxClosedError",
    "MuxCounters",
    "MuxError",
    "MuxMessageTooLargeError",
    "MuxOverloadError",
    "MuxPeer",
    "MuxProtocolError",
    "MuxServer",
    "dial_unix",
]
