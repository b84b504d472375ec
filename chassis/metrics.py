"""Metrics: plain numbers that the code counts itself, read when Prometheus asks.

`labels().inc()` of a metrics library costs more than a microsecond; adding to an attribute costs
thirty nanoseconds. So rooms keep plain counters and register a way to read them; one collector per
process turns them into families at scrape time.

Every series is registered before the process is ready, so label values are a closed set by
construction and a process cannot grow series while it runs. Names follow contract 6:
`turnout_<process>_<noun>_seconds|bytes|total|ratio`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import attrs
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

SERIES_MAX = 1_000  # per process: stops labels that grow; a stack of two networks has 460 in all
UNITS = ("_seconds", "_bytes", "_total", "_ratio")
LATENCY_BOUNDS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")

Read = Callable[[], float]


class Histogram:
    """Counts of values per bucket, in plain numbers.

    Args:
        bounds: upper bounds of the buckets, ascending; larger values land in a last one.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = LATENCY_BOUNDS_S) -> None:
        if not bounds or any(low >= high for low, high in pairwise(bounds)):
            raise ValueError("a histogram needs ascending bounds")
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a value on a bound belongs below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, values up to it) pairs as Prometheus wants them, ending with +Inf."""
        running = 0
        pairs = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            pairs.append((bound, float(running)))
        return pairs


@attrs.frozen
class _Series:
    labels: Mapping[str, str]
    read: Read | Histogram


@attrs.define
class _Family:
    kind: Literal["counter", "gauge", "histogram"]
    documentation: str
    label_names: tuple[str, ...]
    series: list[_Series] = attrs.field(factory=list)


class Metrics(Collector):
    """All series of one process. Register it with a `prometheus_client.CollectorRegistry`.

    A `noun` ends in its unit: `charges_total`, `commit_seconds`, `credits_used_ratio`.

    Args:
        process: the process in every name, such as `switch`.
    """

    def __init__(self, process: str) -> None:
        self._prefix = f"turnout_{process.replace('-', '_')}_"
        self._families: dict[str, _Family] = {}
        self._series_count = 0

    def counter(self, noun: str, documentation: str, read: Read, **labels: str) -> None:
        """Register a number that only grows; `noun` ends in `_total`.

        Raises:
            ValueError: a name without unit, a series that exists, or too many series.
        """
        if not noun.endswith("_total"):
            raise ValueError(f"{noun}: a counter ends in _total")
        self._register("counter", noun, documentation, read, labels)

    def gauge(self, noun: str, documentation: str, read: Read, **labels: str) -> None:
        """Register a number that goes up and down; raises as `counter` does."""
        self._register("gauge", noun, documentation, read, labels)

    def histogram(self, noun: str, documentation: str, histogram: Histogram, **labels: str) -> None:
        """Register a histogram; raises as `counter` does."""
        self._register("histogram", noun, documentation, histogram, labels)

    def watch(self, noun: str, counters: object, **labels: str) -> None:
        """Register every attribute of `counters` that is named as a total.

        `watch("mux", client.counters, peer="hsm")` exposes the attribute `sent_total` as
        `turnout_<process>_mux_sent_total{peer="hsm"}`. Raises as `counter` does, also where there
        is no such attribute.
        """
        attributes = {*getattr(counters, "__slots__", ()), *getattr(counters, "__dict__", ())}
        names = sorted(name for name in attributes if name.endswith("_total"))
        if not names:
            raise ValueError(f"{type(counters).__name__} has no attribute that ends in _total")
        for name in names:
            words = name.removesuffix("_total").replace("_", " ")
            self.counter(f"{noun}_{name}", f"{noun}: {words}", _attribute(counters, name), **labels)

    def _register(
        self,
        kind: Literal["counter", "gauge", "histogram"],
        noun: str,
        documentation: str,
        read: Read | Histogram,
        labels: Mapping[str, str],
    ) -> None:
        if not _NAME.fullmatch(noun) or not noun.endswith(UNITS):
            raise ValueError(f"{noun}: a metric's noun is lower case and ends in {UNITS}")
        if self._series_count >= SERIES_MAX:
            raise ValueError(f"{noun}: more than {SERIES_MAX} series in one process")
        name = self._prefix + noun
        family = self._families.setdefault(name, _Family(kind, documentation, tuple(labels)))
        if (family.kind, family.label_names) != (kind, tuple(labels)):
            raise ValueError(f"{noun}: is already a {family.kind} by {family.label_names}")
        if any(series.labels == labels for series in family.series):
            raise ValueError(f"{noun}: is already registered with these labels")
        family.series.append(_Series(labels, read))
        self._series_count += 1

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read values that are not there yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read every series now."""
        for name, family in self._families.items():
            yield _collect_family(name, family)


def _attribute(counters: object, name: str) -> Read:
    return lambda: float(getattr(counters, name))


def _collect_family(name: str, family: _Family) -> Metric:
    if family.kind == "histogram":
        histograms = HistogramMetricFamily(name, family.documentation, labels=family.label_names)
        for series in family.series:
            assert isinstance(series.read, Histogram)
            values = list(series.labels.values())
            histograms.add_metric(values, series.read.cumulative(), series.read.total)
        return histograms
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    numbers = kind(name, family.documentation, labels=family.label_names)
    for series in family.series:
        assert not isinstance(series.read, Histogram)
        numbers.add_metric(list(series.labels.values()), series.read())
    return numbers
