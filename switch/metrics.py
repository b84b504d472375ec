"""The switch's series: read from plain counters when Prometheus asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from chassis.metrics import Metrics
from chassis.mux import MuxCounters
from switch.carriers import Carrier
from switch.pipeline.assembly import Pipeline

_COUNTS = {
    "accepted": "Charges admitted",
    "refused": "Charges answered with nothing recorded",
    "joined": "Duplicates that joined a charge in flight",
    "replayed": "Charges answered from an earlier one under the same key",
    "approved": "Outcomes: approved",
    "declined": "Outcomes: declined",
    "not_sent": "Outcomes: no byte left",
    "unknown": "Outcomes: unknown, pending verification",
    "late_adopted": "Unknown outcomes resolved by a late answer",
    "unmatched": "Answers that match nothing in flight",
    "not_advanced": "Outcomes that found their intent moved on",
    "slow_lane": "Charges that waited for a locked intent",
    "commit1_batches": "Batches of commit 1",
    "commit1_rows": "Charges in commit 1",
    "commit2_batches": "Batches of commit 2",
    "commit2_rows": "Outcomes in commit 2",
    "errors": "Faults of ours on a single payment",
}


def register(
    metrics: Metrics,
    pipeline: Pipeline,
    carriers: Mapping[str, Carrier],
    mux: MuxCounters,
) -> None:
    """Expose everything as `turnout_switch_…`."""
    for name, documentation in _COUNTS.items():
        metrics.counter(f"{name}_total", documentation, partial(getattr, pipeline.counts, name))
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
