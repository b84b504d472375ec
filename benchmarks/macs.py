"""`turnout bench macs`: what authenticating every message costs a charge, in pairs.

Each round measures charges without MACs and with them, one right after the other, so that whatever
else the machine does falls on both. What is compared is CPU for one charge over all processes,
networks and load generator included: on a machine that has nothing left to give, throughput is
the inverse of that, and CPU is steadier than the clock.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from benchmarks.charges import run as run_charges
from benchmarks.report import Document, bench_document, progress

KINDS: Final[tuple[Literal["none", "cmac"], ...]] = ("none", "cmac")


def run(*, rounds: int = 3, seconds: float = 6.0, connections: int = 256) -> Document:
    """Measure pairs.

    Args:
        rounds: pairs to take the median of.
        seconds: of load, each time.
        connections: sockets of the load generator.

    Raises:
        WrongResultsError: as of `benchmarks.charges`.
        UnrealStorageError: likewise.
    """
    pairs: list[tuple[Document, Document]] = []
    for number in range(rounds):
        progress(f"pair {number + 1} of {rounds}")
        plain, authentic = (
            run_charges(seconds=seconds, connections=connections, mac=mac) for mac in KINDS
        )
        pairs.append((plain, authentic))
    return document(
        {"rounds": rounds, "seconds": seconds, "connections": connections, "order": "interleaved"},
        pairs,
    )


def document(parameters: dict[str, object], pairs: Sequence[tuple[Document, Document]]) -> Document:
    """Sum the pairs up."""
    plain_us = [_cpu_us(plain) for plain, _ in pairs]
    authentic_us = [_cpu_us(authentic) for _, authentic in pairs]
    shares = [1.0 - less / more for less, more in zip(plain_us, authentic_us, strict=True)]
    groups = pairs[0][0]["cpu_us_per_op"]
    return bench_document(
        "macs",
        parameters,
        results={
            "throughput_taken_ratio": statistics.median(shares),
            "throughput_taken_ratio_max": max(shares),
            "cpu_us_without": statistics.median(plain_us),
            "cpu_us_with": statistics.median(authentic_us),
            "charges_per_s_without": _median_rate(plain for plain, _ in pairs),
            "charges_per_s_with": _median_rate(authentic for _, authentic in pairs),
        },
        cpu_us_per_op={  # of the MACs alone
            group: statistics.median(
                authentic["cpu_us_per_op"][group] - plain["cpu_us_per_op"][group]
                for plain, authentic in pairs
            )
            for group in groups
        },
    )


def _cpu_us(document: Document) -> float:
    """CPU of one charge in all processes, microseconds."""
    return float(sum(document["cpu_us_per_op"].values()) + document["results"]["load_cpu_us"])


def _median_rate(documents: Iterable[Document]) -> float:
    return float(statistics.median(each["results"]["charges_per_s"] for each in documents))
