"""The growing edge, held to the tree computed at once, over tile borders of two levels."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ledger.audit.levels import Edge, nodes_from
from ledger.audit.merkle import EMPTY_ROOT, fold, leaf_hash, range_hash

HASHES = [leaf_hash(number.to_bytes(4, "big")) for number in range(256 * 256 + 300)]


class _Kept:
    """The lists that an edge hands out, kept in memory."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = []

    def add(self, added: list[list[bytes]]) -> None:
        for level, hashes in enumerate(added):
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level] += hashes

    def read(self, level: int, first: int, count: int) -> Sequence[bytes]:
        found = self.levels[level][first : first + count]
        assert len(found) == count
        return found


def _nodes(level: int, index: int) -> bytes:
    return fold(HASHES[index << level : (index + 1) << level])


@given(st.lists(st.integers(0, 700), max_size=5))
def test_however_leaves_come_the_root_is_the_tree_s(batches: list[int]) -> None:
    """Batches of any size, also empty ones, over the borders of tiles."""
    edge, kept, size = Edge(), _Kept(), 0
    for count in batches:
        kept.add(edge.append(HASHES[size : size + count]))
        size += count
        assert edge.size == size
        assert edge.root() == range_hash(_nodes, 0, size)
        assert range_hash(nodes_from(kept.read), 0, size) == edge.root()


def test_an_edge_is_found_again_from_what_was_kept() -> None:
    """At sizes around the borders of both kept levels; it goes on as if it had never stopped."""
    edge, kept, size = Edge(), _Kept(), 0
    for target in (1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_800):
        kept.add(edge.append(HASHES[size:target]))
        size = target
        again = Edge.of(size, kept.read)
        assert again == edge
        assert again.root() == range_hash(_nodes, 0, size)


def test_an_empty_tree_has_an_edge() -> None:
    """With the root of nothing."""
    assert Edge.of(0, _Kept().read) == Edge()
    assert Edge().root() == EMPTY_ROOT
