"""The switch's series: read from plain counters when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from chassis.metrics import Metrics
from chassis.mux import MuxCounters
from ledger.committing import Committer
from switch.carriers import Carrier
from switch.core.breaker import BreakerState
from switch.lease_keeper import LeaseKeeper
from switch.link.events import (
    Answered,
    Duplicate,
    Elsewhere,
    Late,
    LinkEvent,
    NotSent,
    Unknown,
    Unmatched,
)
from switch.operations.assembly import Operations
from switch.pipeline.assembly import Pipeline
from switch.pipeline.outside import Outside

_EVENT_KINDS: Final[Mapping[str, type[LinkEvent]]] = {
    "answered": Answered,
    "unknown": Unknown,
    "not_sent": NotSent,
    "late": Late,
    "duplicate": Duplicate,
    "unmatched": Unmatched,
    "elsewhere": Elsewhere,
}


def register(
    metrics: Metrics,
    pipeline: Pipeline,
    outside: Outside,
    mux: MuxCounters,
    *,
    now_us: Callable[[], int],
) -> None:
    """Expose everything as `turnout_switch_…`."""
    _register_pipeline(metrics, pipeline)
    metrics.watch("mux", mux)
    for name, carrier in outside.carriers.items():
        _register_carrier(metrics, name, carrier, now_us)
    committers: Mapping[str, Committer[Any, Any]] = {
        **{f"charges_{lane}": committer for lane, committer in outside.charges.lanes.items()},
        "outcomes": outside.outcomes,
        "held_outcomes": outside.held_outcomes,
        "completions": outside.completions,
    }
    for name, committer in committers.items():
        metrics.counter(
            "commits_repeated_total",
            "Commits run again after a fault of the database",
            partial(getattr, committer, "repeats"),
            commit=name,
        )
        metrics.counter(
            "rows_refused_total",
            "Rows that the database refused even alone",
            partial(getattr, committer, "poisoned"),
            commit=name,
        )


def register_lease(metrics: Metrics, keeper: LeaseKeeper) -> None:
    """Expose how our lease stands, and those of dead switches that we hold."""
    metrics.watch("lease", keeper.counts)
    metrics.gauge(
        "lease_left_seconds",
        "For how long this switch may still send without another heartbeat",
        lambda: keeper.left_s,
    )
    metrics.gauge(
        "leases_held_total",
        "Switches whose attempts this one looks after, itself included",
        lambda: len(keeper.responsibilities),
    )


def register_operations(metrics: Metrics, operations: Operations) -> None:
    """Expose what follows charges: orders, doubts, advices."""
    metrics.watch("operations", operations.counts)
    metrics.gauge(
        "undecided_total",
        "Decisions that wait for an intent's lock, or for the ledger",
        lambda: operations.watches.undecided,
    )
    metrics.gauge(
        "findings_postponed_total",
        "Findings that wait for a STAN before they can be decided on",
        lambda: operations.telling.postponed,
    )
    for inbox in (operations.inbox, *operations.desk.inboxes):
        metrics.gauge(
            "inbox_peak_total",
            "The most that ever waited in a stage's inbox",
            partial(getattr, inbox, "peak"),
            stage=inbox.name,
        )


def _register_pipeline(metrics: Metrics, pipeline: Pipeline) -> None:
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


def _register_carrier(
    metrics: Metrics, name: str, carrier: Carrier, now_us: Callable[[], int]
) -> None:
    group = carrier.group
    metrics.watch("link", group.counters, network=name)
    for kind, event in _EVENT_KINDS.items():
        metrics.counter(
            "messages_total",
            "What became of messages and answers",
            partial(group.counters.events.__getitem__, event),
            network=name,
            fate=kind,
        )
    metrics.gauge(
        "links_up_ratio",
        "Links that take messages, of those configured",
        lambda: group.up_count / carrier.settings.connections,
        network=name,
    )
    metrics.gauge(
        "breaker_open_ratio",
        "1 while a network that does not answer is tried by single messages only",
        lambda: float(group.breaker.state is not BreakerState.CLOSED),
        network=name,
    )
    metrics.gauge(
        "window_used_ratio",
        "Messages in flight, of those the links have room for",
        lambda: group.in_flight / group.capacity,
        network=name,
    )
    if (credentials := carrier.credentials) is not None:
        metrics.gauge(
            "certificate_left_seconds",
            "Time until our certificate at the network expires",
            lambda: credentials.expires_at_s - now_us() // 1_000_000,
            network=name,
        )
    metrics.gauge(
        "stans_at_hand_total",
        "STANs that may be used now without asking the ledger",
        lambda: carrier.stans.usable(now_us() // 1_000_000),
        network=name,
    )
