"""Buckets: the unit in which merchants belong to shards, and move.

A merchant is in one of 4,096 buckets, for ever, by a digest of its id: so they spread evenly
however ids are drawn, and 64 shards still have 64 buckets each to even out. A directory of buckets
is small enough to be read whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Final

BUCKETS: Final = 4_096


class BucketError(ValueError):
    """A text that names no buckets; says why."""


def bucket_of(merchant_id: bytes) -> int:
    """The bucket of a merchant, 0 to 4,095: the first 12 bits of SHA-256 of its 16 bytes."""
    digest = sha256(merchant_id).digest()
    return digest[0] << 4 | digest[1] >> 4


def even_moves(owners: Sequence[int], shards: int) -> dict[int, list[int]]:
    """Which buckets go where so that so many shards own as many each, to one: target → buckets.

    As few as possible move: each shard keeps its lowest ones.

    Args:
        owners: the shard of each bucket, or the one it is on its way to.
        shards: how many there are.
    """
    share, rest = divmod(len(owners), shards)
    room = [share + (shard < rest) for shard in range(shards)]
    homeless = []
    for bucket, owner in enumerate(owners):
        if room[owner]:
            room[owner] -= 1
        else:
            homeless.append(bucket)
    moves: dict[int, list[int]] = {}
    for shard, free in enumerate(room):
        if free:
            moves[shard], homeless = homeless[:free], homeless[free:]
    return moves


def name_buckets(buckets: Iterable[int]) -> str:
    """Buckets as people read them: `0-2047,3000`."""
    ranges = []
    numbered = enumerate(sorted(buckets))
    for _, group in groupby(numbered, key=lambda pair: pair[1] - pair[0]):
        run = [bucket for _, bucket in group]
        ranges.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(ranges)


def parse_buckets(text: str) -> list[int]:
    """The buckets that `name_buckets` wrote, or a person.

    Raises:
        BucketError: no number, none of a bucket, or a range that runs backwards.
    """
    buckets: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() and len(end) <= 4 for end in ends):
            raise BucketError(f"buckets are numbers and ranges, such as 17,2048-4095, not {part!r}")
        low, high = map(int, ends)
        if not low <= high < BUCKETS:
            raise BucketError(f"buckets are 0 to {BUCKETS - 1}, the lower first, not {part!r}")
        buckets.update(range(low, high + 1))
    return sorted(buckets)
