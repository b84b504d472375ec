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

_STAYS: Final = -1

_READ: Final = QUERIES["read_directory"]
_READ_FENCE: Final = QUERIES["read_fence"]


@frozen
class Place:
    """Where a bucket's intents are created.

    Attributes:
        shard: the owner.
        epoch: of its ownership; the owner's fence must be at the same.
        former: every other shard that has ever owned the bucket. It may hold a key, as long as its
            payments are captured or refunded under new ones, and a merchant reference, which is
            held as long as its payment is not canceled.
    """

    shard: int
    epoch: int
    former: tuple[int, ...] = ()


@define
class Directory:
    """What was read; all by bucket.

    Attributes:
        shards: the owner.
        epochs: of its ownership.
        targets: the shard that the bucket is on its way to, or None.
        former: who owned it before, where anybody did, oldest first.
    """

    shards: Sequence[int]
    epochs: Sequence[int]
    targets: Sequence[int | None]
    former: dict[int, list[int]]

    def place(self, bucket: int) -> Place:
        """Where a bucket's intents are created."""
        shard, epoch = self.shards[bucket], self.epochs[bucket]
        former = self.former.get(bucket)
        if former is None:
            return Place(shard, epoch)
        return Place(shard, epoch, tuple(sorted({*former} - {shard})))

    def holders(self, bucket: int) -> set[int]:
        """The shards that may hold payments of a bucket's merchants: all that ever owned it."""
        return {self.shards[bucket], *self.former.get(bucket, ())}


@frozen
class Fence:
    """What one shard may create, by bucket: whether it owns it, and the epoch it knows of."""

    epochs: Sequence[int]
    owned: Sequence[bool]


async def read_directory(runner: Runner) -> Directory:
    """Read the whole directory on shard 0. Roles: turnout_api, turnout_admin, turnout_reader."""
    [(shards, epochs, targets, *tenures)] = (await runner.run(_READ)).rows()
    former: dict[int, list[int]] = {}
    for bucket, shard in zip(*tenures, strict=True):
        former.setdefault(bucket, []).append(shard)
    assert len(shards) == BUCKETS
    return Directory(
        shards,
        epochs,
        [None if target == _STAYS else target for target in targets],
        former,
    )


async def read_fence(runner: Runner) -> Fence:
    """Read a shard's whole fence. Roles: turnout_api, turnout_admin, turnout_reader."""
    [(epochs, owned)] = (await runner.run(_READ_FENCE)).rows()
    return Fence(epochs, owned)
