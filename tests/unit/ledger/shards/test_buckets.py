"""Buckets: where a merchant falls, how shares are evened out, and how people write them."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.shards.buckets import (
    BUCKETS,
    BucketError,
    bucket_of,
    even_moves,
    name_buckets,
    parse_buckets,
)

OWNERS = st.lists(st.integers(0, 7), min_size=1, max_size=200)
BUCKET_SETS = st.sets(st.integers(0, BUCKETS - 1), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("merchant_id", "bucket"),
    # The first three digits of `head -c 16 /dev/zero | sha256sum`, and of sixteen bytes ff.
    [(bytes(16), 0x374), (b"\xff" * 16, 0x5AC)],
)
def test_a_bucket_is_the_first_12_bits_of_the_digest(merchant_id: bytes, bucket: int) -> None:
    """Known digests, so that no release ever puts a merchant into another bucket."""
    assert bucket_of(merchant_id) == bucket


def test_merchants_spread_over_all_buckets() -> None:
    """Of 40,960 merchants with random ids no bucket of 16 neighbors gets half its share."""
    groups = Counter(bucket_of(os.urandom(16)) // 16 for _ in range(40_960))
    assert len(groups) == BUCKETS // 16
    assert min(groups.values()) > 80


@given(OWNERS, st.integers(8, 12))
def test_shares_are_even_to_one_and_few_buckets_move(owners: list[int], shards: int) -> None:
    """After the moves no shard has more than one bucket above another, and none moved in vain."""
    moves = even_moves(owners, shards)
    after = list(owners)
    for shard, buckets in moves.items():
        for bucket in buckets:
            assert after[bucket] != shard
            after[bucket] = shard
    counts = Counter(after)
    shares = [counts[shard] for shard in range(shards)]
    assert max(shares) - min(shares) <= 1
    excess = sum(max(0, n - len(owners) // shards) for n in Counter(owners).values())
    assert sum(map(len, moves.values())) <= excess


def test_what_is_even_stays() -> None:
    """Spreading twice moves nothing the second time."""
    assert even_moves([0, 0, 1, 1, 2], 3) == {}


@given(BUCKET_SETS)
def test_names_of_buckets_read_back(buckets: set[int]) -> None:
    """Ranges and single numbers mean the buckets that they were made of."""
    assert parse_buckets(name_buckets(buckets)) == sorted(buckets)


def test_neighbors_are_named_as_a_range() -> None:
    """Two thousand buckets fit into a line."""
    assert name_buckets([17, *range(2048, 4096)]) == "17,2048-4095"


@pytest.mark.parametrize("text", ["", "x", "1-", "-1", "5-3", "4096", "1,,2", "1-2-3", "\u0661"])
def test_other_texts_name_no_buckets(text: str) -> None:
    """What is no list of numbers and ranges from 0 to 4,095 is refused."""
    with pytest.raises(BucketError):
        parse_buckets(text)
