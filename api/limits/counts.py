"""Requests that did not come through the gate, counted by what was wrong."""

from __future__ import annotations

from attrs import define


@define
class RefusalCounts:
    """Requests that did not come through, by what was wrong."""

    authentication_failed_total: int = 0
    unknown_key_total: int = 0
    timestamp_outside_window_total: int = 0
    signature_mismatch_total: int = 0
    nonce_reused_total: int = 0
    client_secret_invalid_total: int = 0
    nonce_store_full_total: int = 0

    def count(self, code: str) -> None:
        """Count one refusal; every code raised on the way has its field."""
        name = f"{code}_total"
        setattr(self, name, getattr(self, name) + 1)
