"""The log as C2SP tlog-tiles wants it: files that any client of such logs can fetch and check.

    checkpoint                     the last signed note
    tile/<level>/<N>[.p/<width>]   256 hashes, or the newest ones of a tile that is not full
    tile/entries/<N>[.p/<width>]   the records under them, each after its length in two bytes

N is written in groups of three digits, all but the last with an `x` before them: 1234067 is
`x001/x234/067`. The kept levels are these tiles joined together (`ledger.audit.levels`), so an
export only cuts them; entries come from the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ledger.audit.levels import TILE_HEIGHT, TILE_WIDTH

ENTRY_BYTES_MAX: Final = 0xFFFF
_GROUP: Final = 1_000


class EntryError(Exception):
    """A record does not fit into a bundle of entries, or a bundle is malformed."""


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """The path of a tile.

    Args:
        level: of the tree's tiles, or "entries".
        number: of the tile in its level.
        width: hashes or entries in it.
    """
    groups = [f"{number % _GROUP:03d}"]
    while number := number // _GROUP:
        groups.append(f"x{number % _GROUP:03d}")
    path = f"tile/{level}/{'/'.join(reversed(groups))}"
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tiles_of(size: int) -> Iterator[tuple[int, int, int]]:
    """Level, number and width of every tile of a tree of `size` leaves, the lowest level first."""
    level = 0
    while count := size >> TILE_HEIGHT * level:
        for number in range(-(-count // TILE_WIDTH)):
            yield level, number, min(TILE_WIDTH, count - number * TILE_WIDTH)
        level += 1


def pack_entries(records: Sequence[bytes]) -> bytes:
    """Join the records of one tile.

    Raises:
        EntryError: one is longer than the format can say.
    """
    parts = []
    for record in records:
        if len(record) > ENTRY_BYTES_MAX:
            raise EntryError(f"a record of {len(record)} bytes is too long for a bundle of entries")
        parts += [len(record).to_bytes(2, "big"), record]
    return b"".join(parts)


def unpack_entries(data: bytes) -> list[bytes]:
    """Take a bundle of entries apart.

    Raises:
        EntryError: it ends within an entry.
    """
    records, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise EntryError(f"the bundle ends within the entry at byte {at}")
        records.append(data[at + 2 : end])
        at = end
    return records
