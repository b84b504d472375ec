"""The directory: where a bucket's intents are created, and who must be asked before."""

from __future__ import annotations

from ledger.shards.directory import Directory, Place


def directory(*former: int) -> Directory:
    """Bucket 0 on shard 2 in epoch 4, after these owners; bucket 1 on shard 0 for ever."""
    return Directory([2, 0], [4, 1], [None, None], {0: list(former)} if former else {})


def test_a_bucket_that_never_moved_asks_nobody() -> None:
    """The common case: the owner alone."""
    assert directory(1).place(1) == Place(0, 1)


def test_every_former_owner_is_asked_once_however_long_ago_it_was_one() -> None:
    """It takes new keys as long as it has payments, and holds references as long."""
    assert directory(1, 0, 1).place(0) == Place(2, 4, former=(0, 1))


def test_an_owner_that_came_back_is_not_asked_twice() -> None:
    """Its own statement finds the key."""
    assert directory(2, 1).place(0) == Place(2, 4, former=(1,))


def test_every_owner_there_ever_was_holds_payments() -> None:
    """Payments stay where they were created."""
    of = directory(2, 1)
    assert (of.holders(0), of.holders(1)) == ({1, 2}, {0})
