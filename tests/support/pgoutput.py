"""What a walsender sent: a capture of PostgreSQL 18, and messages made by hand."""

from __future__ import annotations

import struct
from pathlib import Path

VECTOR = Path(__file__).parents[1] / "vectors" / "pgoutput.hex"
COMMIT_LSN = 0x1000
END_LSN = 0x1030
TABLE_OID = 16_461
UUID_OID, INT4_OID, TEXT_OID = 2950, 23, 25
INTENT = bytes(range(16))


def capture() -> list[bytes]:
    """Inserts and updates, a heartbeat, a delete, a changed key, a truncation; by envelope."""
    return [bytes.fromhex(line) for line in VECTOR.read_text().splitlines()]


def enveloped(message: bytes, lsn: int = 0) -> bytes:
    """A `w`."""
    return b"w" + struct.pack(">QQq", lsn, lsn, 0) + message


def keepalive(lsn: int, *, reply_wanted: bool = False) -> bytes:
    """A `k`."""
    return b"k" + struct.pack(">QqB", lsn, 0, reply_wanted)


def begin(lsn: int = COMMIT_LSN) -> bytes:
    """A `B`, enveloped."""
    return enveloped(b"B" + struct.pack(">QqI", lsn, 0, 7))


def commit(lsn: int = COMMIT_LSN, end_lsn: int = END_LSN) -> bytes:
    """A `C`, enveloped."""
    return enveloped(b"C" + struct.pack(">BQQq", 0, lsn, end_lsn, 0))


def relation(
    name: str = "outcomes",
    columns: tuple[tuple[int, str, int], ...] = (
        (1, "intent_id", UUID_OID),
        (1, "phase", INT4_OID),
        (0, "note", TEXT_OID),
    ),
    oid: int = TABLE_OID,
) -> bytes:
    """An `R`, enveloped: (key flag, name, type) a column."""
    body = b"R" + struct.pack(">I", oid) + b"public\0" + name.encode() + b"\0d"
    body += struct.pack(">H", len(columns))
    for flag, column, type_oid in columns:
        body += bytes([flag]) + column.encode() + b"\0" + struct.pack(">Ii", type_oid, -1)
    return enveloped(body)


def row(*cells: bytes | None, letter: bytes = b"N") -> bytes:
    """A tuple, with the letter before it."""
    packed = [
        b"n" if cell is None else b"b" + struct.pack(">i", len(cell)) + cell for cell in cells
    ]
    return letter + struct.pack(">H", len(cells)) + b"".join(packed)


def change(letter: bytes, *tuples: bytes, oid: int = TABLE_OID) -> bytes:
    """An `I`, `U` or `D`, enveloped."""
    return enveloped(letter + struct.pack(">I", oid) + b"".join(tuples))


def insert(intent: bytes = INTENT, phase: int = 1) -> bytes:
    """A row of `relation()`."""
    return change(b"I", row(intent, struct.pack(">i", phase), b"text"))
