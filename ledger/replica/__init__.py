"""Reading from a replica, and never anything older than the last write."""

from __future__ import annotations

from ledger.replica.reader import FreshReader
from ledger.replica.sessions import ReplicaSessions

__all__ = ["FreshReader", "ReplicaSessions"]
