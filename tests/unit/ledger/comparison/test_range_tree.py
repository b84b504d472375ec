"""The root over leaves as they come."""

from __future__ import annotations

import pytest

from ledger.audit.merkle import EMPTY_ROOT, fold, leaf_hash, range_hash
from ledger.comparison.range_tree import RangeTree

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]


def _nodes(level: int, index: int) -> bytes:
    return fold(LEAVES[index << level : (index + 1) << level])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 70])
def test_the_root_is_that_of_the_audit_log_however_the_leaves_come(size: int) -> None:
    """All at once, one by one or in two parts: RFC 9162's root over the same leaves."""
    expected = range_hash(_nodes, 0, size)
    whole, single, parts = RangeTree(), RangeTree(), RangeTree()
    whole.extend(LEAVES[:size])
    for leaf in LEAVES[:size]:
        single.extend([leaf])
    parts.extend(LEAVES[: size // 3])
    parts.extend(LEAVES[size // 3 : size])
    assert [tree.root() for tree in (whole, single, parts)] == [expected] * 3
    assert (whole.size, parts.size) == (size, size)


def test_no_leaves_have_the_empty_root() -> None:
    """SHA-256 of nothing, as in the audit log."""
    assert RangeTree().root() == EMPTY_ROOT


def test_a_copy_grows_apart() -> None:
    """What is added to one is not in the other."""
    one = RangeTree()
    one.extend(LEAVES[:5])
    root = one.root()
    other = one.copy()
    other.extend(LEAVES[5:6])
    assert one.root() == root != other.root()
