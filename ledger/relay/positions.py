"""Places in the WAL, and whose WAL it is."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ledger.errors import PgoutputError

_LSN: Final = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})", re.IGNORECASE)
_HISTORY_LINE: Final = re.compile(r"(\d+)\s+([0-9A-F]{1,8}/[0-9A-F]{1,8})\b", re.IGNORECASE)


class Identity(msgspec.Struct, frozen=True):
    """Which cluster answers, and how far its WAL is on disk."""

    system_identifier: int
    timeline: int
    flushed_lsn: int


class NewSlot(msgspec.Struct, frozen=True):
    """A slot that was just made.

    Attributes:
        consistent_lsn: what was committed before is in the snapshot, what comes after in the slot.
        snapshot: its name, for SET TRANSACTION SNAPSHOT.
    """

    consistent_lsn: int
    snapshot: str


class Slot(msgspec.Struct, frozen=True):
    """A slot as the server shows it.

    Attributes:
        confirmed_lsn: what was acknowledged; the server begins there.
        pinned_bytes: of WAL that the server keeps because of it.
        is_ours: whether it is a logical slot of this database and plug-in.
        lost: why the server no longer has what the slot needs; empty when it has.
        wal_status: `reserved`, `extended`, `unreserved` or `lost`, as `pg_replication_slots` says.
        active: whether a session uses it.
    """

    confirmed_lsn: int
    pinned_bytes: int
    is_ours: bool
    lost: str
    wal_status: str
    active: bool


def parse_lsn(text: str) -> int:
    """Read an LSN in its usual form, such as `0/27F4A40`.

    Raises:
        PgoutputError: it is none.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise PgoutputError("LSN", "it is not written as two hexadecimal numbers")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(lsn: int) -> str:
    """Write an LSN as Postgres does."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_history(text: str) -> dict[int, int]:
    """Read a timeline's history file: where each of its ancestors was left, by timeline.

    A line is the ancestor's number, the LSN of the switch and a remark (PostgreSQL source,
    `timeline.c`). Lines that are none are comments.
    """
    return {
        int(match[1]): parse_lsn(match[2])
        for line in text.splitlines()
        if (match := _HISTORY_LINE.match(line.strip()))
    }
