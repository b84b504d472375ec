"""How often one sender may ask: by address before anything is looked at, by key and merchant after.

The address comes first, because strangers cost the same HMAC as merchants. Key and merchant come
once the signature has proved right (security.md 4), so nobody can use up another's limit by naming
its key. Reads and writes have limits of their own: a job that reads does not hold up the till.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import frozen

from api.auth.verify import Merchant
from api.errors import Problem, ProblemError
from api.http.exchange import Exchange
from api.limits.addresses import NOBODY, Addresses
from api.limits.gcra import NS_PER_S, Meter, Rate
from chassis.settings.limits import Limits

READING: Final = frozenset({b"GET", b"HEAD"})


@frozen
class Limit:
    """One kind of sender's limits.

    Attributes:
        who: the sender, in the words of the answer.
        reads: of GET and HEAD.
        writes: of all else.
    """

    who: str
    reads: Meter
    writes: Meter

    def take(self, sender: bytes, method: bytes, now_ns: int) -> None:
        """Let a request in; raises ProblemError `rate_limited` where it comes too soon."""
        meter = self.reads if method in READING else self.writes
        wait_ns = meter.take(sender, now_ns)
        if wait_ns:
            raise ProblemError(self._refusal(meter.rate, method, wait_ns))

    def give_back(self, sender: bytes, method: bytes) -> None:
        """Take back that a request was let in."""
        (self.reads if method in READING else self.writes).give_back(sender)

    def _refusal(self, rate: Rate, method: bytes, wait_ns: int) -> Problem:
        what = "reads" if method in READING else "writes"
        return Problem(
            "rate_limited",
            f"one {self.who} may ask for {rate.per_s:g} {what} a second, {rate.burst} at once",
            retry_after_s=-(-wait_ns // NS_PER_S),
        )


class Limiter:
    """The limits of one api process.

    Args:
        settings: the rates.
        addresses: finds whose request it is.
    """

    __slots__ = ("_address", "_addresses", "_key", "_merchant")

    def __init__(self, settings: Limits, addresses: Addresses) -> None:
        self._addresses = addresses
        meter = partial(Meter, senders_max=settings.senders_max)
        self._address = Limit(
            "address",
            meter(Rate(settings.address_reads_per_s, settings.address_reads_burst)),
            meter(Rate(settings.address_writes_per_s, settings.address_writes_burst)),
        )
        self._key = Limit(
            "key",
            meter(Rate(settings.key_reads_per_s, settings.key_reads_burst)),
            meter(Rate(settings.key_writes_per_s, settings.key_writes_burst)),
        )
        self._merchant = Limit(
            "merchant",
            meter(Rate(settings.merchant_reads_per_s, settings.merchant_reads_burst)),
            meter(Rate(settings.merchant_writes_per_s, settings.merchant_writes_burst)),
        )

    @property
    def meters(self) -> Iterator[tuple[str, str, Meter]]:
        """Every meter with the sender and the kind of request that it is for."""
        for limit in (self._address, self._key, self._merchant):
            yield limit.who, "reads", limit.reads
            yield limit.who, "writes", limit.writes

    def admit_address(self, exchange: Exchange) -> None:
        """Let in whatever comes from an address; raises as `Limit.take`."""
        request = exchange.request
        sender = self._addresses.sender(exchange.peer, request.headers)
        if sender is not NOBODY:
            self._address.take(sender, request.method, int(exchange.arrived_at * NS_PER_S))

    def admit_merchant(self, exchange: Exchange, merchant: Merchant) -> None:
        """Let in a request that is the merchant's beyond doubt; raises as `Limit.take`."""
        method, now_ns = exchange.request.method, int(exchange.arrived_at * NS_PER_S)
        self._key.take(merchant.publishable_key, method, now_ns)
        try:
            self._merchant.take(merchant.merchant_id, method, now_ns)
        except ProblemError:
            self._key.give_back(merchant.publishable_key, method)
            raise
