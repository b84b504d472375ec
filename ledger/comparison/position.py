"""How far the comparer has come, in a file: after a restart it goes on there, and knows its finds.

A position is kept only where both streams stand in a range, each record of which was compared. If
either stream is another one by now, it counts for nothing, and neither do the differences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from chassis.durable import write_durably
from ledger.comparison.comparing import Comparison
from ledger.comparison.differences import Difference
from ledger.comparison.side import Side, SidePosition, side_at
from ledger.comparison.tape import Tape

COMPARISON_FOLDER: Final = "comparison"
_FILE: Final = "position.json"
_MODE: Final = 0o644  # hashes and names of rows: for everyone to read, as the audit log


class Position(msgspec.Struct, frozen=True):
    """What is kept.

    Attributes:
        first: where the first stream stands.
        second: likewise.
        differences: the first ones that were found, ever since both streams are these.
        differences_total: all of them.
    """

    first: SidePosition
    second: SidePosition
    differences: list[Difference]
    differences_total: int


def position_of(comparison: Comparison) -> Position | None:
    """Where a comparison could go on; None while it is between two ranges."""
    first, second = comparison.first.position(), comparison.second.position()
    if not comparison.is_aligned or first is None or second is None:
        return None
    return Position(first, second, comparison.differences, comparison.differences_total)


def save(data_dir: Path, position: Position) -> None:
    """Keep a position, durably.

    Raises:
        OSError: the disk does not take it.
    """
    document = msgspec.json.encode(position)
    write_durably(data_dir / COMPARISON_FOLDER / _FILE, document, mode=_MODE)


def load(data_dir: Path) -> Position | None:
    """The position that was kept; None where there is none, or none that can be read."""
    try:
        data = (data_dir / COMPARISON_FOLDER / _FILE).read_bytes()
        return msgspec.json.decode(data, type=Position)
    except (OSError, msgspec.DecodeError):
        return None


def begin(first: Path, second: Path, shard: int, position: Position | None = None) -> Comparison:
    """A comparison of two streams, from a position if it is still good, or from their beginnings.

    Args:
        first: the folder of the first stream's segments.
        second: likewise.
        shard: whose segments they must be.
        position: where to go on.

    Raises:
        StreamError, OSError: they cannot be read there.
    """
    if position is not None:
        ours = side_at("first", first, shard, position.first)
        theirs = side_at("second", second, shard, position.second)
        if ours is not None and theirs is not None:
            return Comparison(
                ours,
                theirs,
                differences=list(position.differences),
                differences_total=position.differences_total,
            )
    return Comparison(Side("first", Tape(first, shard)), Side("second", Tape(second, shard)))
