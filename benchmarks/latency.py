"""Latency figures from an HDR histogram: percentiles with three significant digits."""

from __future__ import annotations

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

HIGHEST_US = 120_000_000  # two minutes: beyond every deadline
SIGNIFICANT_DIGITS = 3
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def percentiles(latencies_s: Iterable[float]) -> dict[str, float]:
    """`p50_ms`, `p90_ms`, `p99_ms`, `p99_9_ms` and `max_ms` of a run."""
    histogram = HdrHistogram(1, HIGHEST_US, SIGNIFICANT_DIGITS)
    for latency in latencies_s:
        histogram.record_value(max(1, int(latency * 1_000_000)))
    figures = {
        f"p{percentile:g}_ms".replace(".", "_"): histogram.get_value_at_percentile(percentile)
        / 1_000
        for percentile in PERCENTILES
    }
    figures["max_ms"] = histogram.get_max_value() / 1_000
    return figures
