"""What was compared, and what lies between: as it is told to people and scripts."""

from __future__ import annotations

import msgspec


class Range(msgspec.Struct, frozen=True):
    """What both streams were found to have alike.

    Attributes:
        begin: LSN from which on both have taken the WAL in, or behind the last difference.
        end: commit LSN of its last record.
        leaves: how many records.
        root: over their leaves, in hexadecimal digits.
    """

    begin: str
    end: str
    leaves: int
    root: str


class Gap(msgspec.Struct, frozen=True):
    """What lies between two ranges: a stream was repaired, began a timeline, or has only begun.

    Attributes:
        begin: LSN of the end of the range before.
        end: LSN from which on both have taken the WAL in again.
        repaired_first: records that a repair appended to the first stream.
        repaired_second: likewise to the second.
        compared: whether the rows of both sides could be compared.
    """

    begin: str
    end: str
    repaired_first: int
    repaired_second: int
    compared: bool
