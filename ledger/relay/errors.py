"""What can go wrong between the WAL and the stream.

Messages name the place and the reason, never the data.
"""

from __future__ import annotations

from ledger.errors import LedgerError


class RelayError(LedgerError):
    """Base of everything the relay raises; never raised itself."""


class PgoutputError(RelayError):
    """The server sent what the protocol, or this reader of it, does not know.

    Attributes:
        place: the message and the field.
        reason: what is wrong there.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class ReplicationEndedError(RelayError):
    """The server ended the stream of changes: it stops, or somebody took the slot."""


class RepairError(RelayError):
    """What the stream lacks cannot be read from the tables; nothing was streamed past it."""
