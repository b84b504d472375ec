"""The part of the log's Merkle tree that stands over a range of leaves. Pure.

Theory of operation
-------------------
A range [begin, end) is cut into the fewest perfect subtrees of the *log's* tree, so that their
hashes are nodes of that tree whatever the range begins with. Those of one range after another fold
into the root of the tree up to there: the roots of a whole archive follow from some forty hashes a
segment, without a record being read; and a segment's own follow from its records alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import define, field

from ledger.audit.merkle import EMPTY_ROOT, fold, leaf_hash, node_hash


def cut_range(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Name the perfect subtrees of a range by level and index, from left to right."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield level, begin >> level
        begin += 1 << level


def range_hashes(records: Sequence[bytes], begin: int) -> list[bytes]:
    """The hashes of the subtrees over these records, the first of which stands at `begin`."""
    leaves = [leaf_hash(record) for record in records]
    hashes = []
    for level, index in cut_range(begin, begin + len(records)):
        first = (index << level) - begin
        hashes.append(fold(leaves[first : first + (1 << level)]))
    return hashes


@define
class Prefix:
    """The tree over the leaves so far, as the roots of its perfect subtrees.

    Attributes:
        size: leaves.
    """

    size: int = 0
    _peaks: list[tuple[int, bytes]] = field(factory=list)  # level and hash, from left to right

    @property
    def peaks(self) -> list[tuple[int, bytes]]:
        """Level and hash of each perfect subtree, from left to right."""
        return list(self._peaks)

    def extend(self, end: int, hashes: Iterable[bytes]) -> None:
        """Add the range from here to `end`.

        Raises:
            ValueError: there are more or fewer hashes than the range has subtrees.
        """
        for (level, _), one in zip(cut_range(self.size, end), hashes, strict=True):
            height, peak = level, one
            while self._peaks and self._peaks[-1][0] == height:
                peak = node_hash(self._peaks.pop()[1], peak)
                height += 1
            self._peaks.append((height, peak))
        self.size = end

    def root(self) -> bytes:
        """The root of the tree of `size` leaves (MTH of RFC 9162, 2.1.1)."""
        root: bytes | None = None
        for _, peak in reversed(self._peaks):
            root = peak if root is None else node_hash(peak, root)
        return EMPTY_ROOT if root is None else root
