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

from api.errors import Problem, ProblemError
from api.http.exchange import Exchange
from api.limits.addresses import NOBODY, Addresses
from api.limits.gcra import NS_PER_S, Meter, Rate
from chassis.settings.limits import Limits

Asked = tuple[bytes, int]  # the method, and when: nanoseconds of the monotonic clock

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
        wait_ns = self.meter(method).take(sender, now_ns)
        if wait_ns:
            raise ProblemError(self.refusal(method, wait_ns))

    def give_back(self, sender: bytes, method: bytes) -> None:
        """Take back that a request was let in."""
        self.meter(method).give_back(sender)

    def meter(self, method: bytes) -> Meter:
        """The one that a request is asked of."""
        return self.reads if method in READING else self.writes

    def refusal(self, method: bytes, wait_ns: int) -> Problem:
        """What is answered to a request that comes too soon by so many nanoseconds."""
        what = "reads" if method in READING else "writes"
        rate = self.meter(method).rate
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

    Attributes:
        key: the limits of one publishable key.
        merchant: the limits of one merchant.
    """

    __slots__ = ("_address", "_addresses", "key", "merchant")

    def __init__(self, settings: Limits, addresses: Addresses) -> None:
        self._addresses = addresses
        meter = partial(Meter, senders_max=settings.senders_max)
        self._address = Limit(
            "address",
            meter(Rate(settings.address_reads_per_s, settings.address_reads_burst)),
            meter(Rate(settings.address_writes_per_s, settings.address_writes_burst)),
        )
        self.key = Limit(
            "key",
            meter(Rate(settings.key_reads_per_s, settings.key_reads_burst)),
            meter(Rate(settings.key_writes_per_s, settings.key_writes_burst)),
        )
        self.merchant = Limit(
            "merchant",
            meter(Rate(settings.merchant_reads_per_s, settings.merchant_reads_burst)),
            meter(Rate(settings.merchant_writes_per_s, settings.merchant_writes_burst)),
        )

    @property
    def meters(self) -> Iterator[tuple[str, str, Meter]]:
        """Every meter with the sender and the kind of request that it is for."""
        for limit in (self._address, self.key, self.merchant):
            yield limit.who, "reads", limit.reads
            yield limit.who, "writes", limit.writes

    def admit_address(self, exchange: Exchange) -> None:
        """Let in whatever comes from an address; raises as `Limit.take`."""
        request = exchange.request
        sender = self._addresses.sender(exchange.peer, request.headers)
        if sender is not NOBODY:
            self._address.take(sender, request.method, int(exchange.arrived_at * NS_PER_S))

    def admit_merchant(self, publishable_key: bytes, merchant_id: bytes, asked: Asked) -> None:
        """Let in a request that is the merchant's beyond doubt; raises as `Limit.take`."""
        method, now_ns = asked
        self.key.take(publishable_key, method, now_ns)
        try:
            self.merchant.take(merchant_id, method, now_ns)
        except ProblemError:
            self.key.give_back(publishable_key, method)
            raise
