"""The settings of what one sender may ask of the API; sections of `chassis.settings.tree`."""

from __future__ import annotations

from chassis.settings.section import Section


class Limits(Section, frozen=True):
    """What one sender may ask of the API. Over it: 429 `rate_limited` with `Retry-After`.

    A rate is for ever, its burst at once after a silence. GET and HEAD are reads, all else writes.
    """

    # By address, before anything else is looked at: what a stranger may cost. An office or a
    # merchant's servers are one address. Loopback addresses are not limited: what comes from there
    # is ours, or a proxy that is not among `trusted_proxies` and would stand for everybody.
    address_reads_per_s: float = 4_000.0
    address_reads_burst: int = 8_000
    address_writes_per_s: float = 2_000.0
    address_writes_burst: int = 4_000
    # By publishable key, once the request has proved right: a fifth of what one machine does, so
    # that a loop gone wild at one merchant leaves the others theirs.
    key_reads_per_s: float = 4_000.0
    key_reads_burst: int = 8_000  # two seconds' worth at once: jobs that begin on the hour
    key_writes_per_s: float = 2_000.0
    key_writes_burst: int = 4_000
    # By merchant, over all of its keys.
    merchant_reads_per_s: float = 6_000.0
    merchant_reads_burst: int = 12_000
    merchant_writes_per_s: float = 3_000.0
    merchant_writes_burst: int = 6_000
    # Of each kind of sender, at once: 200 bytes each. Strangers choose addresses.
    senders_max: int = 65_536
    # Addresses or networks (10.0.0.0/8) of your proxies, whose X-Forwarded-For is believed.
    trusted_proxies: tuple[str, ...] = ()


class Velocity(Section, frozen=True):
    """Card testing through browsers: 429 `too_many_attempts`. So many at once, and evenly again.

    A charge that is approved, or whose card is known there, gives back what it took.
    """

    window_s: float = 3_600.0  # in which all of them come back
    intent_declines_max: int = 6  # a customer mistypes a few times; nobody ten
    intent_cards_max: int = 4  # whoever pulls out a fifth card for one basket did not buy them
    address_declines_max: int = 20  # an office's, or a carrier's, which many customers share
    address_cards_max: int = 40  # likewise; approved ones count as well
    # Of one merchant, over all addresses; an approval makes up for a decline. Who reaches it has
    # more declines than approvals by so many, and nobody is charged from a browser for a while.
    merchant_declines_max: int = 300
    senders_max: int = 65_536  # of each kind of place, and cards seen there: 300 bytes each
