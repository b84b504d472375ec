"""Our own Postgres: found, set up, started and stopped without anything to install."""

from __future__ import annotations

from ledger.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
