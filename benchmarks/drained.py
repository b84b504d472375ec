"""What came of `turnout bench drain`: the drives, the document, and whether anything was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from benchmarks.charges import ACCEPTED
from benchmarks.driving import LoadResult
from benchmarks.latency import percentiles
from benchmarks.played import PLAYED
from benchmarks.report import Document, WrongResultsError, bench_document
from chaos.agreement import Verdict
from chaos.records import Line
from chassis.settings import Settings
from switch.core.forwarding import SAVED_S

REVERSAL: Final = "0420"
ENDS: Final = frozenset({"00", "21", "25"})  # that took something back, or found nothing to
BURST: Final = 1.1  # of what the rate allows in a second: the network's clock is not the switch's


@attrs.frozen(kw_only=True)
class Drives:
    """What the merchants heard, part by part, and how many reversals waited."""

    warm_up: LoadResult
    before: LoadResult
    outage: LoadResult
    drain: LoadResult
    queued: int
    before_cpu_s: Mapping[str, float]
    drain_cpu_s: Mapping[str, float]

    def reversal_us(self) -> dict[str, float]:
        """CPU of one reversal by process: of the drain, less what its live charges cost before."""
        live = self.drain.outcome.sent / self.before.outcome.sent
        return {
            group: (seconds - live * self.before_cpu_s[group]) * 1e6 / self.queued
            for group, seconds in self.drain_cpu_s.items()
        }

    @property
    def all(self) -> list[LoadResult]:
        """In the order of the charges."""
        return [self.warm_up, self.before, self.outage, self.drain]


def drain_document(
    parameters: dict[str, Any],
    drives: Drives,
    books: Sequence[Line],
    verdict: Verdict,
    left: dict[str, int],
) -> Document:
    """Sum the drain up.

    Args:
        parameters: of the run.
        drives: what the merchants heard.
        books: of the network.
        verdict: of the three witnesses.
        left: what has not come to rest.

    Raises:
        WrongResultsError: something is left or disagrees, a reversal was not acknowledged exactly
            once, or they left faster than they may.
    """
    taken_back = [line.entry for line in books if line.entry.mti == REVERSAL]
    last_us = max((entry.decided_at_us for entry in taken_back), default=0)
    first_us = min((entry.decided_at_us for entry in taken_back), default=0)
    beside = sum(
        first_us <= line.entry.decided_at_us <= last_us
        for line in books
        if line.entry.mti != REVERSAL
    )
    before_ms = percentiles(drives.before.outcome.latency_s)
    during_ms = percentiles(
        latency
        for index, latency in zip(
            drives.drain.outcome.index, drives.drain.outcome.latency_s, strict=True
        )
        if index < beside
    )
    peak = busiest_second([entry.decided_at_us for entry in taken_back])
    per_s = Settings().networks[PLAYED].saf_drain_per_s
    results = {
        "queued": drives.queued,
        "acknowledged": sum(entry.response_code in ENDS for entry in taken_back),
        "acknowledged_twice": len(taken_back) - len({entry.rrn for entry in taken_back}),
        "drain_seconds": (last_us - first_us) / 1e6,
        "drain_busiest_second": peak,
        "drain_per_s_max": per_s,
        "live_charges_beside": beside,
        "live_refused": sum(status not in ACCEPTED for status in drives.drain.outcome.status),
        **{f"live_before_{name}": value for name, value in before_ms.items()},
        **{f"live_during_{name}": value for name, value in during_ms.items()},
        "live_p99_ratio": during_ms["p99_ms"] / before_ms["p99_ms"],
        "payments_compared": verdict.payments,
        "unresolved": len(verdict.unresolved),
        "lost": len(verdict.lost),
        "duplicated": len(verdict.duplicated),
        "disagree": len(verdict.disagree),
    }
    too_fast = peak > BURST * per_s * (1 + SAVED_S)
    wrong = results["acknowledged"] != drives.queued or results["acknowledged_twice"]
    if left or wrong or too_fast or not verdict.holds:
        raise WrongResultsError(f"{results}; left {left}; {list(verdict.reasons.items())[:5]}")
    return bench_document("drain", parameters, results, drives.reversal_us())


def busiest_second(instants_us: Sequence[int]) -> int:
    """The most instants that lie within one second."""
    ordered = sorted(instants_us)
    most = first = 0
    for last, instant in enumerate(ordered):
        while instant - ordered[first] >= 1_000_000:
            first += 1
        most = max(most, last - first + 1)
    return most
