"""The directory: where a bucket's intents are created, and who must be asked before."""

from __future__ import annotations

from ledger.shards.directory import KEYS_KEPT_S, Directory, Place, Tenure


def directory(*tenures: Tenure) -> Directory:
    """Bucket 0 on shard 2 in epoch 4, after these tenures; bucket 1 on shard 0 for ever."""
    return Directory([2, 0], [4, 1], [None, None], {0: list(tenures)} if tenures else {})


def test_a_bucket_that_never_moved_asks_nobody() -> None:
    """The common case: the owner alone."""
    assert directory(Tenure(1, 100)).place(1, now_s=0) == Place(0, 1)


def test_former_owners_are_asked_for_keys_as_long_as_keys_are_kept() -> None:
    """A month later the key is gone everywhere, but a reference may still be held."""
    of = directory(Tenure(1, 100), Tenure(0, 200))
    assert of.place(0, now_s=100 + KEYS_KEPT_S - 1).key_holders == (0, 1)
    assert of.place(0, now_s=100 + KEYS_KEPT_S).key_holders == (0,)
    later = of.place(0, now_s=200 + KEYS_KEPT_S)
    assert (later.key_holders, later.reference_holders) == ((), (0, 1))


def test_an_owner_that_came_back_is_not_asked_twice() -> None:
    """Its own statement finds the key."""
    place = directory(Tenure(2, 100), Tenure(1, 200)).place(0, now_s=0)
    assert (place.shard, place.key_holders, place.reference_holders) == (2, (1,), (1,))


def test_every_owner_there_ever_was_holds_payments() -> None:
    """Payments stay where they were created."""
    of = directory(Tenure(2, 100), Tenure(1, 200))
    assert (of.holders(0), of.holders(1)) == ({1, 2}, {0})
