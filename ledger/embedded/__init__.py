"""Our own Postgres: found, set up, started and stopped without anything to install."""

from __future__ import annotations

from ledger.embedded.replica import EmbeddedReplica, Primary
from ledger.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedReplica", "Primary"]
