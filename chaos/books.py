"""What the networks wrote into their own books, one line per decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from chaos.records import Line
from network_sim.journal import read_journal

REVERSAL: Final = "04"
REVERSED_CODES: Final = frozenset({"00", "21"})  # of a reversal whose original had come


def read_books(data_dir: Path, networks: Sequence[str]) -> list[Line]:
    """Every line of every network's book, oldest first.

    Raises:
        JournalError: a line cannot be read.
    """
    return [
        Line(name, entry)
        for name in networks
        for entry in read_journal(data_dir / "networks" / f"{name}.log")
    ]


def orphaned_reversals(lines: Iterable[Line]) -> list[Line]:
    """Reversals that took something back which no line tells of."""
    known: set[tuple[str, ...]] = set()
    found: list[Line] = []
    for line in lines:
        entry = line.entry
        if (
            entry.mti.startswith(REVERSAL)
            and entry.response_code in REVERSED_CODES
            and line.original_key not in known
        ):
            found.append(line)
        known.add(line.key)
    return found
