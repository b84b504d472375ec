"""The relay's series: `turnout_relay_…`."""

from __future__ import annotations

from collections.abc import Callable

from chassis.metrics import Metrics
from ledger.relay.health import STATES, Health
from ledger.stream.attempt_monitor import Figures


def register(metrics: Metrics, health: Health, *, buffer_records_max: int) -> None:
    """Register everything that a relay counts."""
    metrics.gauge(
        "lag_seconds", "age of the oldest WAL that is not in the stream", _of(health, "lag_s")
    )
    metrics.gauge(
        "lag_bytes", "WAL on the server's disk, not in the stream", _of(health, "lag_bytes")
    )
    metrics.gauge(
        "pinned_bytes", "WAL that the server keeps for the slot", _of(health, "pinned_bytes")
    )
    metrics.gauge(
        "buffer_used_ratio",
        "records read and not yet appended, of the bound",
        lambda: health.buffered_records / buffer_records_max,
    )
    metrics.gauge("stream_full_ratio", "1 while the stream has no room", _of(health, "stream_full"))
    metrics.gauge("lag_alarm_ratio", "1 while the lag is over its limit", _of(health, "alarmed"))
    for state in STATES:
        metrics.gauge(
            "state_ratio", "1 for the state the relay is in", _is(health, state), state=state
        )
    for status in ("reserved", "extended", "unreserved", "lost", "absent"):
        metrics.gauge(
            "slot_ratio", "1 for the slot's wal_status", _slot_is(health, status), status=status
        )
    for noun in (
        *("batches", "records", "bytes", "idle_marks", "dropped", "messages", "feedbacks"),
        *("heartbeats", "sessions", "repairs", "repaired_records", "tampering"),
    ):
        name = f"{noun}_total"
        metrics.counter(name, f"relay: {noun.replace('_', ' ')}", _of(health, name))


def register_attempts(metrics: Metrics, figures: Figures) -> None:
    """Register what the monitor of attempts finds."""
    metrics.gauge(
        "attempts_open_total", "attempts in the stream without an outcome", lambda: figures.open
    )
    metrics.counter(
        "attempts_unfinished_total",
        "attempts that nobody finished within deadline and grace",
        lambda: figures.unfinished,
    )
    metrics.counter(
        "attempts_let_go_total",
        "attempts that were not followed for want of room",
        lambda: figures.let_go,
    )


def _of(health: Health, name: str) -> Callable[[], float]:
    return lambda: float(getattr(health, name))


def _is(health: Health, state: str) -> Callable[[], float]:
    return lambda: float(health.state == state)


def _slot_is(health: Health, status: str) -> Callable[[], float]:
    return lambda: float(health.wal_status == status)
