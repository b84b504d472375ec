"""Ranges of leaves fold into the roots of the log's own tree."""

from __future__ import annotations

import pytest

from ledger.archive.subtrees import Prefix, cut_range, range_hashes
from ledger.audit.levels import Edge
from ledger.audit.merkle import EMPTY_ROOT, leaf_hash

RECORDS = [number.to_bytes(2) for number in range(600)]


def _root(size: int) -> bytes:
    edge = Edge()
    edge.append(map(leaf_hash, RECORDS[:size]))
    return edge.root()


@pytest.mark.parametrize("begin", [0, 1, 5, 64, 255, 256, 257])
@pytest.mark.parametrize("count", [1, 2, 7, 128, 300])
def test_a_range_is_covered_once_by_perfect_subtrees(begin: int, count: int) -> None:
    """Subtrees of a range meet end to end, and cover nothing beside it."""
    at = begin
    for level, index in cut_range(begin, begin + count):
        assert index << level == at
        at += 1 << level
    assert at == begin + count


def test_ranges_of_any_length_lead_to_the_roots_of_the_whole_tree() -> None:
    """Whatever the ranges begin with, the tree up to the end of each has the log's root."""
    prefix = Prefix()
    assert prefix.root() == EMPTY_ROOT
    for end in (1, 4, 5, 130, 131, 256, 600):
        prefix.extend(end, range_hashes(RECORDS[prefix.size : end], prefix.size))
        assert prefix.root() == _root(end)


def test_a_hash_too_many_or_too_few_is_refused() -> None:
    """A range is not taken in with another number of hashes than it has subtrees."""
    hashes = range_hashes(RECORDS[:7], 0)
    for wrong in (hashes[:-1], [*hashes, hashes[0]]):
        with pytest.raises(ValueError, match="zip"):
            Prefix().extend(7, wrong)
