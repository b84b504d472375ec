"""What `turnout relay compare` does: both streams of a data directory, from their beginnings.

It reads files and needs neither a running stack nor a database. The comparer does the same while
the stack runs, for what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ledger.comparison.comparing import Comparison
from ledger.comparison.position import begin
from ledger.errors import LedgerError
from ledger.relay.second import second_folder
from ledger.stream.segments.files import list_segments, shard_folder
from stack.acting import Document
from stack.endings import EXIT_FAULT
from stack.options import EXIT_CANNOT_START, Place

SLICE_RECORDS: Final = 65_536  # between two looks at the progress bar
SHARD: Final = 0  # of the folder: each shard's data directory is its own


class NoSecondStreamError(Exception):
    """There is nothing to compare; says where it was looked for."""


EXITS: Final[dict[type[Exception], int]] = {
    NoSecondStreamError: EXIT_CANNOT_START,
    OSError: EXIT_CANNOT_START,
    LedgerError: EXIT_FAULT,
}


def compare(place: Place, progress: Callable[[int, int], None]) -> Document:
    """Hold both streams to each other, as far as both are now.

    Args:
        place: the data directory, and where the second stream lies.
        progress: hears how many records of how many were looked at.

    Raises:
        NoSecondStreamError: one of the two is not there.
        StreamError, OSError: one of the two cannot be read at all.
    """
    first = shard_folder(place.data_dir, SHARD)
    second = shard_folder(second_folder(place.settings.relay, place.data_dir), SHARD)
    for name, folder in (("first", first), ("second", second)):
        if not folder.exists() or not list_segments(folder):
            raise NoSecondStreamError(
                f"there is no {name} stream in {folder}; a second relay runs with "
                "relay.second = true, or turnout up --second-relay"
            )
    comparison = begin(first, second, SHARD)
    tapes = (comparison.first.tape, comparison.second.tape)
    try:
        total = sum(tape.end() for tape in tapes)
        while comparison.advance(SLICE_RECORDS):
            progress(min(comparison.progress(), total), total)
            if comparison.progress() >= total:  # what has come since is the comparer's
                break
        return _document(comparison)
    finally:
        for tape in tapes:
            tape.close()


def _document(comparison: Comparison) -> Document:
    current = comparison.current_range()
    ranges = [*comparison.ranges, *([current] if current.leaves else [])]
    differences = comparison.differences
    if comparison.damage is not None:
        differences = [comparison.damage, *differences]
    total = comparison.differences_total + (comparison.damage is not None)
    first, second = (side.tape.end() for side in (comparison.first, comparison.second))
    return {
        "ok": not total,
        "compared": comparison.leaves,
        "waits_for": comparison.late_side() or None,
        "records": {"first": first, "second": second},
        "ranges": [msgspec.to_builtins(one) for one in ranges],
        "gaps": [msgspec.to_builtins(one) for one in comparison.gaps],
        "differences": [msgspec.to_builtins(one) for one in differences],
        "differences_total": total,
    }
