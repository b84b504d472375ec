"""Address, key and merchant each have their limits, and reads others than writes."""

from __future__ import annotations

import pytest

from api.auth.verify import Merchant
from api.errors import Problem, ProblemError
from api.http.answer import Answer
from api.http.exchange import Exchange
from api.http.parser import Request
from api.limits.addresses import Addresses
from api.limits.gcra import NS_PER_S
from api.limits.limiter import Limiter
from chassis.settings.limits import Limits

TIGHT = Limits(
    address_reads_per_s=2.0,
    address_reads_burst=1,
    address_writes_per_s=0.1,
    address_writes_burst=2,
    key_reads_per_s=2.0,
    key_reads_burst=2,
    key_writes_per_s=0.5,
    key_writes_burst=1,
    merchant_reads_per_s=2.0,
    merchant_reads_burst=3,
    merchant_writes_per_s=1.0,
    merchant_writes_burst=2,
)


class Nowhere:
    """Takes no answer: the limiter gives none."""

    def answered(self, exchange: Exchange, answer: Answer) -> bool:
        """Never called."""
        raise AssertionError((exchange, answer))


def exchange(method: bytes = b"GET", *, peer: str = "203.0.113.7", at: float = 1.0) -> Exchange:
    """A request of a stranger."""
    request = Request(method, b"/", {}, b"", keep_alive=True)
    return Exchange(Nowhere(), request, bytes(16), at, last=False, peer=peer)


def shop(number: int = 1, key: bytes = b"pk_test_a") -> Merchant:
    """One of some merchants, by one of its keys."""
    return Merchant(bytes([number]) * 16, key, live=False, secrets=())


def refusal(limiter: Limiter, asked: Exchange, merchant: Merchant | None = None) -> Problem | None:
    """What a request is refused with, or None."""
    try:
        if merchant is None:
            limiter.admit_address(asked)
        else:
            when = asked.request.method, int(asked.arrived_at * NS_PER_S)
            limiter.admit_merchant(merchant.publishable_key, merchant.merchant_id, when)
    except ProblemError as error:
        return error.problem
    return None


def test_an_address_has_its_limit() -> None:
    """Over it 429 says how long to wait, in whole seconds, and which limit it was."""
    limiter = Limiter(TIGHT, Addresses([]))
    assert refusal(limiter, exchange()) is None
    problem = refusal(limiter, exchange())
    assert problem is not None
    assert (problem.code, problem.status, problem.retry_after_s) == ("rate_limited", 429, 1)
    assert problem.detail == "one address may ask for 2 reads a second, 1 at once"
    assert refusal(limiter, exchange(peer="203.0.113.8")) is None
    assert refusal(limiter, exchange(at=1.5)) is None


def test_reads_and_writes_are_apart() -> None:
    """Who may not read any more may still write; HEAD is a read, what is neither is a write."""
    limiter = Limiter(TIGHT, Addresses([]))
    assert refusal(limiter, exchange(b"HEAD")) is None
    assert refusal(limiter, exchange(b"GET")) is not None
    assert refusal(limiter, exchange(b"POST")) is None
    assert refusal(limiter, exchange(b"DELETE")) is None
    problem = refusal(limiter, exchange(b"POST"))
    assert problem is not None
    assert problem.retry_after_s == 10


def test_loopback_has_no_limit_of_its_own() -> None:
    """What comes from this machine may stand for everybody."""
    limiter = Limiter(TIGHT, Addresses([]))
    assert {refusal(limiter, exchange(peer="127.0.0.1")) for _ in range(100)} == {None}


def test_a_key_and_its_merchant_have_limits() -> None:
    """Two keys of one merchant have a limit each, and one together; another merchant its own."""
    limiter = Limiter(TIGHT, Addresses([]))
    asked = [shop(), shop(), shop(), shop(key=b"pk_test_b"), shop(key=b"pk_test_b"), shop(2, b"c")]
    problems = [refusal(limiter, exchange(), merchant) for merchant in asked]
    details = [problem.detail.split()[1] if problem else None for problem in problems]
    assert details == [None, None, "key", None, "merchant", None]


def test_what_the_merchant_may_not_its_key_is_not_charged_for() -> None:
    """A request that the merchant's limit refuses leaves the key's as it was."""
    limiter = Limiter(TIGHT, Addresses([]))
    for key in (b"a", b"b"):
        assert refusal(limiter, exchange(b"POST"), shop(key=key)) is None
    assert refusal(limiter, exchange(b"POST"), shop(key=b"c")) is not None
    assert refusal(limiter, exchange(b"POST", at=2.0), shop(key=b"c")) is None


@pytest.mark.parametrize("who", ["address", "key", "merchant"])
def test_every_refusal_is_counted_where_it_belongs(who: str) -> None:
    """Each meter tells its own."""
    limiter = Limiter(TIGHT, Addresses([]))
    for number in range(9):
        keys = b"%d" % (number if who == "merchant" else 0)
        refusal(limiter, exchange(), None if who == "address" else shop(key=keys))
    counted = {(name, what): meter.refused_total for name, what, meter in limiter.meters}
    assert [sender for sender, total in counted.items() if total] == [(who, "reads")]
