"""What is signed of a month of the payment tables before it is dropped, and kept for auditors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from ledger.archive.errors import ArchiveError
from ledger.archive.signed import read_document
from ledger.audit.notes import VerifierKey

FOLDER: Final = "months"
FORMAT: Final = "turnout-archived-month/1"


class TableDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a month of a table holds: how many rows, and their digest in hex."""

    rows: int
    digest: str


class DroppedMonth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was signed of a month before it was dropped.

    Attributes:
        format: FORMAT.
        shard: whose tables.
        month: as its partitions were named.
        compared_at_us: when it was held to the archive the last time, Unix microseconds.
        operator: who ran it.
        tables: of each its rows and their digest.
    """

    format: str
    shard: Annotated[int, msgspec.Meta(ge=0)]
    month: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}_[0-9]{2}$")]
    compared_at_us: int
    operator: str
    tables: dict[str, TableDigest]


def note_path(work: Path, label: str) -> Path:
    """Where what was signed of a month is kept on this side."""
    return work / FOLDER / f"{label}.note"


def read_month(work: Path, key: VerifierKey, label: str) -> DroppedMonth:
    """A month that was dropped, as the archive's key says.

    Raises:
        ArchiveError: there is no word of it that the key has signed.
        OSError: it cannot be read.
    """
    path = note_path(work, label)
    if not path.exists():
        raise ArchiveError(f"{path} is missing")
    try:
        document = read_document(path.read_bytes(), key, DroppedMonth)
    except ArchiveError as error:
        raise ArchiveError(f"{path}: {error}") from error
    if (document.format, document.month) != (FORMAT, label):
        raise ArchiveError(f"{path} is of another month")
    return document
