"""What can be wrong with settings."""

from __future__ import annotations


class SettingsError(Exception):
    """A setting that cannot be used: names the key, where it was set, and what it should be.

    The value itself is never part of the message: a database URL carries a password.
    """

    def __init__(self, key: str, source: str, reason: str) -> None:
        super().__init__(f"{key} ({source}): {reason}")
        self.key = key
        self.source = source
        self.reason = reason
