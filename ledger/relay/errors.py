"""What can go wrong between the WAL and the stream.

Messages name the place and the reason, never the data.
"""

from __future__ import annotations

from ledger.errors import LedgerError


class RelayError(LedgerError):
    """Base of everything the relay raises; never raised itself."""


class ReplicationEndedError(RelayError):
    """The server ended the stream of changes: it stops, or somebody took the slot."""


class RepairError(RelayError):
    """What the stream lacks cannot be read from the tables; nothing was streamed past it."""
