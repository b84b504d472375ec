"""The Merkle root over leaves as they come, in the memory of one branch. Pure.

What is kept are the roots of the perfect subtrees that the leaves so far fall into, at most one a
level (C2SP's tlog tools call it a compact range). The root is that of RFC 9162, 2.1.1, over the
same leaves in the same order: whoever has two roots over as many leaves knows whether the leaves
are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from attrs import define, field

from ledger.audit.merkle import EMPTY_ROOT, node_hash


@define
class RangeTree:
    """A tree that only grows.

    Attributes:
        size: leaves so far.
    """

    size: int = 0
    _subtrees: list[bytes] = field(factory=list)  # of perfect subtrees, from left to right

    def extend(self, hashes: Iterable[bytes]) -> None:
        """Add leaves by their hashes."""
        subtrees, size = self._subtrees, self.size
        for leaf in hashes:
            node, carry = leaf, size
            while carry & 1:
                node = sha256(b"\x01" + subtrees.pop() + node).digest()
                carry >>= 1
            subtrees.append(node)
            size += 1
        self.size = size

    def copy(self) -> RangeTree:
        """One like it, to be grown apart from it."""
        return RangeTree(self.size, self._subtrees.copy())

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._subtrees:
            return EMPTY_ROOT
        *others, root = self._subtrees
        for subtree in reversed(others):
            root = node_hash(subtree, root)
        return root
