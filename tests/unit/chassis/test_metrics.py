"""Plain numbers become Prometheus families, under names that say their unit."""

from __future__ import annotations

import attrs
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from chassis.metrics import SERIES_MAX, Histogram, Metrics


@pytest.fixture
def metrics() -> Metrics:
    """An empty collector of a process called hsm-worker."""
    return Metrics("hsm-worker")


def _page(metrics: Metrics) -> list[str]:
    registry = CollectorRegistry()
    registry.register(metrics)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_numbers_are_read_when_asked(metrics: Metrics) -> None:
    """A scrape shows the value of that moment, under the process's name."""
    opened = [1]
    metrics.counter("cards_total", "Cards opened.", lambda: opened[0])
    metrics.gauge("used_ratio", "Share of credits used.", lambda: opened[0] / 10)
    opened[0] = 5
    assert _page(metrics) == [
        "turnout_hsm_worker_cards_total 5.0",
        "turnout_hsm_worker_used_ratio 0.5",
    ]


def test_series_of_one_family_stand_together(metrics: Metrics) -> None:
    """Labels distinguish series under one name and one help text."""
    metrics.counter("sent_total", "Sent.", lambda: 1, network="vsim")
    metrics.counter("lost_total", "Lost.", lambda: 2)
    metrics.counter("sent_total", "Sent.", lambda: 3, network="msim")
    assert _page(metrics) == [
        'turnout_hsm_worker_sent_total{network="vsim"} 1.0',
        'turnout_hsm_worker_sent_total{network="msim"} 3.0',
        "turnout_hsm_worker_lost_total 2.0",
    ]


def test_histograms_are_cumulative(metrics: Metrics) -> None:
    """Each bucket counts what is not above its bound; the last one counts all."""
    histogram = Histogram((0.1, 1.0))
    metrics.histogram("wait_seconds", "Waiting.", histogram)
    for value in (0.1, 0.5, 2.0):
        histogram.observe(value)
    assert _page(metrics) == [
        'turnout_hsm_worker_wait_seconds_bucket{le="0.1"} 1.0',
        'turnout_hsm_worker_wait_seconds_bucket{le="1.0"} 2.0',
        'turnout_hsm_worker_wait_seconds_bucket{le="+Inf"} 3.0',
        "turnout_hsm_worker_wait_seconds_count 3.0",
        "turnout_hsm_worker_wait_seconds_sum 2.6",
    ]


@attrs.define
class SlottedCounters:
    """Counters as attrs makes them."""

    sent_total: int = 0
    late_total: int = 2
    peak: int = 9


class PlainCounters:
    """Counters in an instance dictionary."""

    def __init__(self) -> None:
        self.sent_total = 1


def test_watch_exposes_every_total(metrics: Metrics) -> None:
    """Attributes named as totals become counters; others are no one's business."""
    counters = SlottedCounters()
    metrics.watch("mux", counters, peer="hsm")
    metrics.watch("link", PlainCounters())
    counters.sent_total = 7
    assert _page(metrics) == [
        'turnout_hsm_worker_mux_late_total{peer="hsm"} 2.0',
        'turnout_hsm_worker_mux_sent_total{peer="hsm"} 7.0',
        "turnout_hsm_worker_link_sent_total 1.0",
    ]


def test_watch_refuses_an_object_without_totals(metrics: Metrics) -> None:
    """Watching the wrong object is a mistake, not an empty page."""
    with pytest.raises(ValueError, match="no attribute that ends in _total"):
        metrics.watch("mux", object())


@pytest.mark.parametrize("noun", ["cards", "cards_count", "Cards_total", "_total", "a-b_total"])
def test_a_name_without_its_unit_is_refused(metrics: Metrics, noun: str) -> None:
    """Every noun is lower case and ends in its unit."""
    with pytest.raises(ValueError, match="ends in"):
        metrics.gauge(noun, "Bad.", lambda: 0)
    with pytest.raises(ValueError, match="ends in"):
        metrics.counter(noun, "Bad.", lambda: 0)


def test_a_counter_in_seconds_still_ends_in_total(metrics: Metrics) -> None:
    """Prometheus knows counters by their ending."""
    with pytest.raises(ValueError, match="ends in _total"):
        metrics.counter("cpu_seconds", "CPU.", lambda: 0)


def test_a_family_cannot_change_its_kind_or_labels(metrics: Metrics) -> None:
    """One name has one kind and one set of labels, and a series exists once."""
    metrics.counter("sent_total", "Sent.", lambda: 0, network="vsim")
    with pytest.raises(ValueError, match="is already a counter"):
        metrics.gauge("sent_total", "Sent.", lambda: 0, network="msim")
    with pytest.raises(ValueError, match="is already a counter"):
        metrics.counter("sent_total", "Sent.", lambda: 0)
    with pytest.raises(ValueError, match="already registered"):
        metrics.counter("sent_total", "Sent.", lambda: 0, network="vsim")


def test_the_number_of_series_is_bounded(metrics: Metrics) -> None:
    """A label with an open set of values fails at start, not in production."""
    for index in range(SERIES_MAX):
        metrics.counter("sent_total", "Sent.", lambda: 0, index=str(index))
    with pytest.raises(ValueError, match="series in one process"):
        metrics.counter("sent_total", "Sent.", lambda: 0, index="one more")


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0)])
def test_histogram_bounds_must_ascend(bounds: tuple[float, ...]) -> None:
    """Bounds out of order would count silently wrong."""
    with pytest.raises(ValueError, match="ascending"):
        Histogram(bounds)
