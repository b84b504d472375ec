"""What can go wrong with the archive. Messages name the object and the reason, never the data."""

from __future__ import annotations


class ArchiveError(Exception):
    """A segment cannot be archived, or an archived one cannot be believed; what stands stays."""


class StoreError(ArchiveError):
    """The store cannot be read or written now: no room, no connection, no permission. Run again."""


class ObjectError(ArchiveError):
    """An object is not what was signed.

    Attributes:
        place: of the object.
        reason: what is wrong with it.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason
