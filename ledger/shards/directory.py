"""The directory: which shard owns a bucket, in which epoch, and who owned it before.

It is kept on shard 0, beside the merchants and their keys. Whoever creates intents keeps a copy of
it, which may be old: the fence of the shard that it names notices, because the epoch is another
one, and then the copy is read anew. So nobody has to be told of a move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, frozen

from ledger.shards.buckets import BUCKETS
from ledger.statements import QUERIES, Runner

KEYS_KEPT_S: Final = 31 * 86_400  # no idempotency key is older: they expire after 30 days
_STAYS: Final = -1

_READ: Final = QUERIES["read_directory"]
_READ_FENCE: Final = QUERIES["read_fence"]


@frozen
class Tenure:
    """That a shard owned a bucket before."""

    shard: int
    until_s: int  # seconds since 1970


@frozen
class Place:
    """Where a bucket's intents are created.

    Attributes:
        shard: the owner.
        epoch: of its ownership; the owner's fence must be at the same.
        key_holders: other shards that may have created something under a key that is still kept.
        reference_holders: other shards that may hold a merchant reference: every former owner,
            for a reference is held as long as its payment is not canceled.
    """

    shard: int
    epoch: int
    key_holders: tuple[int, ...] = ()
    reference_holders: tuple[int, ...] = ()


@define
class Directory:
    """What was read; all by bucket.

    Attributes:
        shards: the owner.
        epochs: of its ownership.
        targets: the shard that the bucket is on its way to, or None.
        tenures: former owners, where there were any.
    """

    shards: Sequence[int]
    epochs: Sequence[int]
    targets: Sequence[int | None]
    tenures: dict[int, list[Tenure]]

    def place(self, bucket: int, now_s: float) -> Place:
        """Where a bucket's intents are created."""
        shard, epoch = self.shards[bucket], self.epochs[bucket]
        former = self.tenures.get(bucket)
        if former is None:
            return Place(shard, epoch)
        references = {tenure.shard for tenure in former} - {shard}
        keys = {t.shard for t in former if now_s < t.until_s + KEYS_KEPT_S} - {shard}
        return Place(shard, epoch, tuple(sorted(keys)), tuple(sorted(references)))

    def holders(self, bucket: int) -> set[int]:
        """The shards that may hold payments of a bucket's merchants: all that ever owned it."""
        return {self.shards[bucket], *(tenure.shard for tenure in self.tenures.get(bucket, ()))}


@frozen
class Fence:
    """What one shard may create, by bucket: whether it owns it, and the epoch it knows of."""

    epochs: Sequence[int]
    owned: Sequence[bool]


async def read_directory(runner: Runner) -> Directory:
    """Read the whole directory on shard 0. Roles: turnout_api, turnout_admin, turnout_reader."""
    [(shards, epochs, targets, *former)] = (await runner.run(_READ)).rows()
    tenures: dict[int, list[Tenure]] = {}
    for bucket, shard, until_s in zip(*former, strict=True):
        tenures.setdefault(bucket, []).append(Tenure(shard, until_s))
    assert len(shards) == BUCKETS
    return Directory(
        shards,
        epochs,
        [None if target == _STAYS else target for target in targets],
        tenures,
    )


async def read_fence(runner: Runner) -> Fence:
    """Read a shard's whole fence. Roles: turnout_api, turnout_admin, turnout_reader."""
    [(epochs, owned)] = (await runner.run(_READ_FENCE)).rows()
    return Fence(epochs, owned)
