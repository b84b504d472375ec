"""A database, a relay's slot and a stream for each test."""

from __future__ import annotations

from tests.integration.ledger.relay.conftest import relaying

__all__ = ["relaying"]
