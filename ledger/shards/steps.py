"""The steps of a move, decided from what stands in the directory and in the fences.

Theory of operation. A bucket that moves from shard s in epoch e to shard t goes through

    planned     the directory says: s, epoch e, on its way to t
    taken       the fence of s is closed in epoch e + 1: nobody creates
    handed over the directory says: t, epoch e + 1, and remembers s
    given       the fence of t is open in epoch e + 1

What is true is read from the ledgers each time, and the next step follows from it; nothing else is
remembered. So a move that somebody left halfway is resumed by whoever looks next. A step may be
done again, or by somebody who decided on it long ago: each of them compares epochs in the database
that it changes (`0015_shards.sql`), and a fence only ever goes to a higher one.

That no two shards let a bucket create: a fence opens in epoch e + 1 only when the directory is
there; the directory goes there only when the fence of s has been seen closed in epoch e + 1; and a
fence that was closed in an epoch opens in a higher one alone.

A backup breaks that: a ledger that is set back has forgotten steps. Before anybody creates, a start
puts it right (`corrections`, `strays`). The highest epoch that any fence knows was the last one; a
directory that does not know it follows, also where it knows it as a plan whose last step was done,
and takes every shard that has ever owned the bucket for a former owner. A fence that is open and
not the owner's is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from attrs import frozen

from ledger.shards.buckets import name_buckets
from ledger.shards.directory import Directory, Fence

STEP_BUCKETS_MAX: Final = 256  # that are closed at the same time

Kind = Literal["give", "hand_over", "take"]
# What is nearly over first, so that few buckets are closed at any time.
_ORDER: Final[tuple[Kind, ...]] = ("give", "hand_over", "take")


@frozen
class Step:
    """One statement of a move.

    Attributes:
        kind: which.
        shard: where it is done; 0 for the directory.
        buckets: which go through it, at most `STEP_BUCKETS_MAX`.
        epochs: that they get by it, or have.
    """

    kind: Kind
    shard: int
    buckets: tuple[int, ...]
    epochs: tuple[int, ...]


def next_step(directory: Directory, fences: Sequence[Fence]) -> Step | None:
    """What is to be done next, or None where nothing is on its way.

    Args:
        directory: as read before the fences were.
        fences: of all shards, in the order of their numbers.
    """
    waiting: dict[tuple[Kind, int], list[tuple[int, int]]] = {}
    for bucket, (shard, epoch, target) in enumerate(
        zip(directory.shards, directory.epochs, directory.targets, strict=True)
    ):
        fence_epoch = fences[shard].epochs[bucket]
        if target is None:
            if fence_epoch < epoch:
                waiting.setdefault(("give", shard), []).append((bucket, epoch))
        elif fence_epoch <= epoch:
            waiting.setdefault(("take", shard), []).append((bucket, epoch + 1))
        elif fence_epoch == epoch + 1 and not fences[shard].owned[bucket]:
            waiting.setdefault(("hand_over", 0), []).append((bucket, epoch + 1))
    for kind in _ORDER:
        for (of_kind, shard), pairs in waiting.items():
            if of_kind == kind:
                buckets, epochs = zip(*pairs[:STEP_BUCKETS_MAX], strict=True)
                return Step(kind, shard, buckets, epochs)
    return None


def count_waiting(directory: Directory, fences: Sequence[Fence]) -> int:
    """How many buckets have not arrived where they are to be."""
    return sum(
        target is not None or fences[shard].epochs[bucket] < epoch
        for bucket, (shard, epoch, target) in enumerate(
            zip(directory.shards, directory.epochs, directory.targets, strict=True)
        )
    )


@frozen
class Correction:
    """Where a bucket is, unlike what a directory says that was set back.

    Attributes:
        bucket: which.
        shard: its owner.
        epoch: of its ownership.
        former: every other shard that has ever owned it.
    """

    bucket: int
    shard: int
    epoch: int
    former: tuple[int, ...]


def corrections(directory: Directory, fences: Sequence[Fence]) -> list[Correction]:
    """What the fences know of later moves than the directory."""
    found = []
    for bucket, owner in enumerate(directory.shards):
        known = directory.epochs[bucket]
        latest = max(fence.epochs[bucket] for fence in fences)
        # A move closes a fence an epoch ahead of the directory, and opens none.
        opened = any(fence.owned[bucket] and fence.epochs[bucket] > known for fence in fences)
        if not opened and latest <= known + (directory.targets[bucket] is not None):
            continue
        holders = [shard for shard, fence in enumerate(fences) if fence.epochs[bucket]]
        owners = [
            shard
            for shard in holders
            if fences[shard].owned[bucket] and fences[shard].epochs[bucket] == latest
        ]
        # Taken and not given again as far as anybody remembers: it begins a new epoch.
        shard, epoch = (owners[0], latest) if owners else (owner, latest + 1)
        former = tuple(sorted({owner, *holders} - {shard}))
        found.append(Correction(bucket, shard, epoch, former))
    return found


def strays(directory: Directory, fences: Sequence[Fence]) -> list[Step]:
    """Steps that close the fences of shards which own a bucket no more, whatever they remember."""
    steps = []
    for shard, fence in enumerate(fences):
        buckets = tuple(
            bucket
            for bucket, owner in enumerate(directory.shards)
            if fence.owned[bucket] and owner != shard
        )
        if buckets:
            epochs = tuple(directory.epochs[bucket] for bucket in buckets)
            steps.append(Step("take", shard, buckets, epochs))
    return steps


def find_faults(directory: Directory, fences: Sequence[Fence]) -> list[str]:
    """What no move explains, in words: a ledger that was set back, or meddled with."""
    ahead: dict[int, list[int]] = {}
    doubled: dict[int, list[int]] = {}
    for bucket, owner in enumerate(directory.shards):
        known = directory.epochs[bucket] + (directory.targets[bucket] is not None)
        for shard, fence in enumerate(fences):
            if fence.epochs[bucket] > known:
                ahead.setdefault(shard, []).append(bucket)
            elif fence.owned[bucket] and shard != owner:
                doubled.setdefault(shard, []).append(bucket)
    return [
        f"shard {shard} knows a later owner of buckets {name_buckets(buckets)} than the directory"
        for shard, buckets in sorted(ahead.items())
    ] + [
        f"shard {shard} lets buckets {name_buckets(buckets)} create, which are not its own"
        for shard, buckets in sorted(doubled.items())
    ]
