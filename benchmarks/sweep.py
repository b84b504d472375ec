"""Latency against rate, as a picture: open-loop runs at growing shares of a closed loop's rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.driving import LoadResult
from benchmarks.latency import percentiles
from benchmarks.report import progress

SHARES: Final = (0.25, 0.5, 0.7, 0.8, 0.9, 1.0)  # of the closed loop's rate
SECONDS: Final = 3.0  # for each point


@attrs.frozen
class Point:
    """One rate and the latencies it met, counted from the intended send times."""

    rate_per_s: float
    p50_ms: float
    p99_ms: float


def charges_needed(per_s: float) -> int:
    """How many charges a sweep sends where a closed loop does `per_s`."""
    return sum(int(per_s * share * SECONDS) for share in SHARES)


def sweep(
    requests: Sequence[bytes], per_s: float, drive: Callable[[Sequence[bytes], float], LoadResult]
) -> tuple[list[Point], list[LoadResult]]:
    """Drive `requests` at each share of `per_s`; stops early when they run out."""
    points: list[Point] = []
    results: list[LoadResult] = []
    at = 0
    for share in SHARES:
        rate = per_s * share
        piece = requests[at : at + int(rate * SECONDS)]
        if not piece:
            break
        at += len(piece)
        progress(f"open loop at {rate:,.0f} charges/s ...")
        result = drive(piece, rate)
        figures = percentiles(result.outcome.latency_s)
        points.append(Point(rate, figures["p50_ms"], figures["p99_ms"]))
        results.append(result)
    return points, results


def draw(points: Sequence[Point], path: Path) -> None:
    """Write the picture; the format is the file's ending. Needs the extra `bench`."""
    # Imported here: only this needs it, and it takes half a second.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    rates = [point.rate_per_s for point in points]
    axes.plot(rates, [point.p50_ms for point in points], marker="o", label="p50")
    axes.plot(rates, [point.p99_ms for point in points], marker="o", label="p99")
    axes.set_xlabel("charges a second, open loop")
    axes.set_ylabel("latency from the intended send time, ms")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    axes.set_title("turnout bench charges", loc="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)
