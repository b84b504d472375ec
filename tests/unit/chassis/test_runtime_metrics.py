"""What every process tells of itself."""

from __future__ import annotations

import gc

from prometheus_client import CollectorRegistry

from chassis.metrics import Metrics
from chassis.runtime_metrics import CollectorPauses, register_runtime_metrics, resident_bytes


def test_pauses_are_kept_by_generation() -> None:
    """Each generation has its count, sum and longest pause."""
    times = iter([10.0, 10.5, 20.0, 21.0, 30.0, 30.25])
    pauses = CollectorPauses(clock_s=lambda: next(times))
    for generation in (2, 2, 0):
        pauses.on_collection("start", {"generation": generation})
        pauses.on_collection("stop", {"generation": generation})
    assert pauses.count == [1, 0, 2]
    assert pauses.sum_s == [0.25, 0.0, 1.5]
    assert pauses.longest_s == [0.25, 0.0, 1.0]


def test_installed_pauses_hear_the_real_collector() -> None:
    """Python calls us for a collection."""
    pauses = CollectorPauses()
    pauses.install()
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(pauses.on_collection)
    assert pauses.count[2] == 1


def test_a_running_process_holds_memory() -> None:
    """The reading is in bytes and plausible for a Python process."""
    assert 5e6 < resident_bytes() < 1e11


def test_every_series_can_be_read() -> None:
    """The registered readers work and carry the process's name."""
    metrics = Metrics("api")
    register_runtime_metrics(metrics, CollectorPauses())
    registry = CollectorRegistry()
    registry.register(metrics)
    assert registry.get_sample_value("turnout_api_cpu_seconds_total") > 0  # type: ignore[operator]
    assert registry.get_sample_value("turnout_api_gc_pauses_total", {"generation": "2"}) == 0
