"""The switch's series: read from plain counters when Prometheus asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from chassis.metrics import Metrics
from chassis.mux import MuxCounters
from switch.carriers import Carrier
from switch.pipeline.assembly import Pipeline


def register(
    metrics: Metrics,
    pipeline: Pipeline,
    carriers: Mapping[str, Carrier],
    mux: MuxCounters,
) -> None:
    """Expose everything as `turnout_switch_…`."""
    metrics.watch("charges", pipeline.counts)
    metrics.gauge(
        "credits_used_ratio",
        "Payments inside, of those admission allows",
        lambda: pipeline.admission.inside / pipeline.admission.credits_max,
    )
    for inbox in pipeline.inboxes:
        metrics.gauge(
            "inbox_peak_total",
            "The most that ever waited in a stage's inbox",
            partial(getattr, inbox, "peak"),
            stage=inbox.name,
        )
    metrics.watch("mux", mux)
    for name, carrier in carriers.items():
        metrics.watch("link", carrier.group.counters, network=name)
