"""Which partition Java's clients choose: `org.apache.kafka.common.utils.Utils.murmur2`, anew."""

from __future__ import annotations

SEED = 0x9747B28C
M = 0x5BD1E995
WORD = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash, as 32 bits."""
    h = SEED ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * M & WORD
        k = (k ^ k >> 24) * M & WORD
        h = (h * M & WORD) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * M & WORD
    h = (h ^ h >> 13) * M & WORD
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
