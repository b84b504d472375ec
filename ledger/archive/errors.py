"""What can go wrong with the archive. Messages name the object and the reason, never the data."""

from __future__ import annotations


class ArchiveError(Exception):
    """A segment cannot be archived, or an archived one cannot be believed; what stands stays."""


class StoreError(ArchiveError):
    """The store cannot be read or written now: no room, no connection, no permission. Run again."""
