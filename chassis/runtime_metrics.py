"""What every process tells of itself: memory, CPU, garbage collection, lost log lines."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chassis.log import statistics
from chassis.metrics import Metrics

_STATM = Path("/proc/self/statm")


class CollectorPauses:
    """Pauses of Python's garbage collector, by generation.

    A pause stops every payment in the process, so generation 2 belongs on a dashboard: after
    `gc.freeze()` it should hardly grow. Registers itself with `gc.callbacks`.
    """

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self.count = [0, 0, 0]
        self.sum_s = [0.0, 0.0, 0.0]
        self.longest_s = [0.0, 0.0, 0.0]
        self._clock_s = clock_s
        self._began_s = 0.0

    def install(self) -> None:
        """Have every collection reported here from now on."""
        gc.callbacks.append(self.on_collection)

    def on_collection(self, phase: str, info: Mapping[str, Any]) -> None:
        """The callback of `gc.callbacks`."""
        if phase == "start":
            self._began_s = self._clock_s()
            return
        pause_s = self._clock_s() - self._began_s
        generation = info["generation"]
        self.count[generation] += 1
        self.sum_s[generation] += pause_s
        self.longest_s[generation] = max(self.longest_s[generation], pause_s)


def resident_bytes() -> float:
    """Memory held now; where the system has no /proc, the most ever held."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    return float(pages * resource.getpagesize())


def register_runtime_metrics(metrics: Metrics, pauses: CollectorPauses) -> None:
    """Add the series that every process has."""
    started_at_s = time.time()
    metrics.gauge("start_time_seconds", "Start, in Unix time.", lambda: started_at_s)
    metrics.gauge("resident_bytes", "Memory held by the process.", resident_bytes)
    metrics.counter("cpu_seconds_total", "User and system CPU time.", time.process_time)
    metrics.counter(
        "log_events_withheld_total",
        "Log events that could not be masked.",
        lambda: statistics.withheld,
    )
    metrics.counter(
        "log_events_lost_total", "Log events that could not be written.", lambda: statistics.lost
    )
    for generation in range(3):
        _register_pauses(metrics, pauses, generation)


def _register_pauses(metrics: Metrics, pauses: CollectorPauses, generation: int) -> None:
    label = str(generation)
    metrics.counter(
        "gc_pauses_total",
        "Garbage collections.",
        lambda: pauses.count[generation],
        generation=label,
    )
    metrics.counter(
        "gc_pause_seconds_total",
        "Time spent collecting garbage.",
        lambda: pauses.sum_s[generation],
        generation=label,
    )
    metrics.gauge(
        "gc_pause_longest_seconds",
        "The longest garbage collection.",
        lambda: pauses.longest_s[generation],
        generation=label,
    )
