"""What a worker counts, and the names it is exposed under."""

from __future__ import annotations

from functools import partial
from typing import Final, get_args

from attrs import Factory, define

from chassis.metrics import Histogram, Metrics
from chassis.mux import MuxCounters
from hsm_sim.wire import Purpose

REFUSAL_REASONS: Final = (
    "not_permitted",
    "batch_too_large",
    "malformed",
    "rate_limited",
    "unavailable",
)
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)
_BATCH_BOUNDS_S: Final = (0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.05)


@define
class HSMCounters:
    """Plain numbers, counted per request and read when somebody asks."""

    batch_seconds: Histogram = Factory(partial(Histogram, _BATCH_BOUNDS_S))  # of OpenCards
    cards_opened_total: int = 0
    cards_undecryptable_total: int = 0
    cards_key_expired_total: int = 0
    cards_released: dict[str, int] = Factory(lambda: dict.fromkeys(PURPOSES, 0))
    cards_not_released_total: int = 0
    releases_limited_total: int = 0  # cards refused because of the limit per minute
    macs_generated_total: int = 0
    macs_verified_total: int = 0
    macs_mismatched_total: int = 0
    macs_without_key_total: int = 0  # unknown, expired or not yet promoted
    network_key_changes_total: int = 0
    network_keys_refused_total: int = 0
    secrets_sealed_total: int = 0
    secrets_unsealed_total: int = 0
    secrets_refused_total: int = 0  # blobs that did not open
    faults_total: int = 0  # requests that raised what they never should
    key_generations_total: int = 0  # times the key store was read
    refusals: dict[str, int] = Factory(lambda: dict.fromkeys(REFUSAL_REASONS, 0))


def register(metrics: Metrics, counters: HSMCounters, mux: MuxCounters) -> None:
    """Expose a worker's numbers as `turnout_hsm_…`."""
    metrics.histogram("batch_seconds", "Time to open one batch", counters.batch_seconds)
    described = {
        "cards_opened_total": "Cards opened and sealed again",
        "cards_undecryptable_total": "Cards refused: did not open, or not of the agreed form",
        "cards_key_expired_total": "Cards refused: their capture key is destroyed",
        "cards_not_released_total": "Stored cards that did not unseal or are shredded",
        "releases_limited_total": "Stored cards wanted beyond the limit of a minute",
        "macs_generated_total": "MACs made",
        "macs_verified_total": "MACs that are right",
        "macs_mismatched_total": "MACs that are wrong",
        "macs_without_key_total": "MACs for which there was no usable key",
        "network_key_changes_total": "Keys of networks brought, made or moved on",
        "network_keys_refused_total": "Keys of networks refused; all stayed as they were",
        "secrets_sealed_total": "Merchant secrets sealed",
        "secrets_unsealed_total": "Merchant secrets unsealed",
        "secrets_refused_total": "Merchant secrets that did not open",
        "faults_total": "Requests refused because of a fault of ours",
        "key_generations_total": "Times the key store was read",
    }
    for noun, documentation in described.items():
        metrics.counter(noun, documentation, partial(getattr, counters, noun))
    for purpose in PURPOSES:
        metrics.counter(
            "cards_released_total",
            "Stored cards given back",
            partial(counters.cards_released.__getitem__, purpose),
            purpose=purpose,
        )
    for reason in REFUSAL_REASONS:
        metrics.counter(
            "requests_refused_total",
            "Requests refused whole",
            partial(counters.refusals.__getitem__, reason),
            reason=reason,
        )
    metrics.watch("mux", mux)
