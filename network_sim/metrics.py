"""What a simulated network counts, as Prometheus sees it: `turnout_vsim_…`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from chassis.metrics import Metrics
from chassis.settings.tree import Simulator
from network_sim.host import Host
from network_sim.issuer import Issuer


def register(metrics: Metrics, host: Host, issuer: Issuer, limits: Simulator) -> None:
    """Register every number of one network."""
    metrics.watch("messages", host.frames)
    metrics.watch("connections", host.connections)
    metrics.watch("issuer", issuer.counters)
    metrics.watch("delayed_answers", host.delayed)
    for noun, counts in (
        ("decided", issuer.counters.decided),
        ("refused", issuer.counters.refused),
    ):
        for code in counts:
            metrics.counter(
                f"issuer_{noun}_total",
                f"Messages {noun}, by response code.",
                partial(_count, counts, code),
                code=code,
            )
    metrics.gauge(
        "connections_used_ratio",
        "Peers served, of the limit.",
        lambda: host.connections.open_count / limits.connections_max,
    )
    metrics.gauge(
        "delayed_answers_used_ratio",
        "Answers waiting for their time, of the limit.",
        lambda: len(host.delayed) / limits.delayed_answers_max,
    )
    metrics.gauge(
        "issuer_memory_used_ratio",
        "Messages remembered for repeats, of the limit.",
        lambda: issuer.remembered / limits.remembered_max,
    )


def _count(counts: Mapping[str, int], code: str) -> float:
    return float(counts[code])
