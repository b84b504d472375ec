"""The right edge of the growing tree, and the hashes of every eighth level.

Theory of operation
-------------------
C2SP tlog-tiles cuts the tree into tiles of height 8: a tile of level L holds 256 hashes of perfect
subtrees over 256 ** L leaves each. Joined together, the tiles of a level are one list, in which the
hash of the subtree with index i stands at place i; it only ever grows at its end. That list is what
is kept (`ledger.audit.level_files`); a tile is a slice of it.

`Edge` holds, for each level, the hashes behind the last full tile: at most 255, which is all that
appending and the root need. Appending costs one node hash a leaf, the root at most 255 a level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attrs import define, field

from ledger.audit.merkle import EMPTY_ROOT, Nodes, fold, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT

ReadHashes = Callable[[int, int, int], Sequence[bytes]]
"""Level, first index, count → so many hashes of that level's list."""


@define
class Edge:
    """The right edge of a tree.

    Attributes:
        size: leaves.
        partial: by level, the hashes behind the last full tile.
    """

    size: int = 0
    partial: list[list[bytes]] = field(factory=list)

    @classmethod
    def of(cls, size: int, read: ReadHashes) -> Edge:
        """Find the edge of a tree whose levels are kept somewhere."""
        partial = []
        for level in range(_levels(size)):
            count = size >> TILE_HEIGHT * level
            behind = count % TILE_WIDTH
            partial.append(list(read(level, count - behind, behind)))
        return cls(size, partial)

    def append(self, leaves: Iterable[bytes]) -> list[list[bytes]]:
        """Add leaf hashes; return, by level, what is to be added to its list."""
        added: list[list[bytes]] = []
        row = list(leaves)
        self.size += len(row)
        level = 0
        while row:
            added.append(row)
            if level == len(self.partial):
                self.partial.append([])
            waiting = self.partial[level] + row
            full = len(waiting) - len(waiting) % TILE_WIDTH
            row = [fold(waiting[at : at + TILE_WIDTH]) for at in range(0, full, TILE_WIDTH)]
            self.partial[level] = waiting[full:]
            level += 1
        return added

    def root(self) -> bytes:
        """The hash of the whole tree: the perfect subtrees of the edge, from right to left."""
        root: bytes | None = None
        for hashes in self.partial:
            end = len(hashes)
            while end:
                width = end & -end
                subtree = fold(hashes[end - width : end])
                root = subtree if root is None else node_hash(subtree, root)
                end -= width
        return EMPTY_ROOT if root is None else root


def nodes_from(read: ReadHashes) -> Nodes:
    """Every perfect subtree's hash, made of the hashes of the next kept level below it."""

    def node(level: int, index: int) -> bytes:
        kept, above = divmod(level, TILE_HEIGHT)
        return fold(read(kept, index << above, 1 << above))

    return node


def _levels(size: int) -> int:
    """How many levels have hashes in a tree of so many leaves."""
    levels = 0
    while size:
        levels += 1
        size >>= TILE_HEIGHT
    return levels
