"""Mutated frames on the codec, in a process whose memory is nobody else's.

    python -m certification.fuzz DIALECT HEX COUNT SEED

Prints one JSON document: how many frames were refused, and by how many kilobytes the process grew
behind its first tenth. Anything but a `DecodeError` ends it with a traceback.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from random import Random
from typing import Final

from switch.iso8583 import DecodeError, Dialect, load_dialect

FLIPS_MAX: Final = 3


def fuzz(dialect: Dialect, vector: bytes, count: int, draw: Callable[[int], int]) -> int:
    """Decode frames with a few bits flipped; how many were refused."""
    refused = 0
    bits = len(vector) * 8
    for _ in range(count):
        frame = bytearray(vector)
        for _ in range(1 + draw(FLIPS_MAX)):
            bit = draw(bits)
            frame[bit >> 3] ^= 0x80 >> (bit & 7)
        try:
            dialect.decode(bytes(frame))
        except DecodeError:
            refused += 1
    return refused


def main(name: str, vector: str, count: str, seed: str) -> None:
    """Fuzz, and say what happened."""
    dialect, total = load_dialect(name), int(count)
    random = Random(seed).random
    first = total // 10
    frame = bytes.fromhex(vector)
    refused = fuzz(dialect, frame, first, lambda below: int(random() * below))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused += fuzz(dialect, frame, total - first, lambda below: int(random() * below))
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    sys.stdout.write(json.dumps({"refused": refused, "grown_kb": grown_kb}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
