"""What of the stream the comparer of two streams still needs."""

from __future__ import annotations

from pathlib import Path

from ledger.comparison.position import COMPARISON_FOLDER, Position, save
from ledger.comparison.side import SidePosition
from ledger.comparison.tape import Place
from ledger.stream.record import Mark
from stack.archive_needs import compared_from


def test_the_comparer_needs_the_segment_that_it_stands_in(tmp_path: Path) -> None:
    """It reads descriptors from its beginning; a comparer that kept nothing needs everything."""
    assert compared_from(tmp_path) == 0
    (tmp_path / COMPARISON_FOLDER).mkdir()
    first = SidePosition(Place(130), 150, 0, Mark(1, 1, 1), 7)
    second = SidePosition(Place(60), 150, 0, Mark(1, 1, 1), 7)
    save(tmp_path, Position(first, second, [], 0))
    assert compared_from(tmp_path) == 130
