"""Whoever tries cards is stopped; a customer who mistypes, and a busy shop, are not."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.errors import Problem, ProblemError
from api.http.answer import Answer
from api.http.exchange import Exchange
from api.http.parser import Request
from api.limits.addresses import Addresses
from api.limits.velocity import Velocity
from chassis.mux import MuxClosedError, MuxError
from chassis.settings.limits import Velocity as Settings
from ledger.ids import public_id
from switch.wire import Charge, Done, Refused, SwitchReply, TransactionState
from tests.support.api import approved as done

WIDE = 1_000
CHARGE = Charge(bytes(16), bytes(16), "pk_test_a", False, "v1", bytes(16), bytes(16), bytes(16))


class Nowhere:
    """Takes no answer: velocity gives none."""

    def answered(self, exchange: Exchange, answer: Answer) -> bool:
        """Never called."""
        raise AssertionError((exchange, answer))


class Shop:
    """Browsers' charges against limits that are wide but for those given."""

    def __init__(self, **tight: Any) -> None:
        wide = {
            f"{place}_{what}_max": WIDE
            for place, what in (
                ("intent", "declines"),
                ("intent", "cards"),
                ("address", "declines"),
                ("address", "cards"),
                ("merchant", "declines"),
            )
        }
        self.velocity = Velocity(Settings(**wide | tight), Addresses([]))

    def begin(self, intent: int, address: int, merchant: int, at_s: float) -> Any:
        """A charge that is let through, or ProblemError."""
        request = Request(b"POST", b"/", {}, b"", keep_alive=True)
        peer = f"203.0.113.{address}" if address else "127.0.0.1"
        exchange = Exchange(Nowhere(), request, bytes(16), at_s, last=False, peer=peer)
        return self.velocity.begin(exchange, bytes([merchant] * 16), intent.to_bytes(16))

    def charge(
        self,
        reply: SwitchReply | MuxError | None,
        *,
        intent: int = 1,
        address: int = 1,
        merchant: int = 1,
        at_s: float = 0.0,
    ) -> Problem | None:
        """Charge and hear the reply; what it was refused with, if it was."""
        try:
            attempt = self.begin(intent, address, merchant, at_s)
        except ProblemError as error:
            return error.problem
        self.velocity.end(attempt, reply)
        return None

    def let_through(self, replies: list[SwitchReply | MuxError | None], **where: int) -> int:
        """How many of some charges at one place are let through."""
        return sum(self.charge(reply, **where) is None for reply in replies)


def declined(card: int = 4242) -> Done:
    """A decline of one of some cards."""
    return Done(_state(status="failed", card_last4=f"{card:04}"))


def approved(card: int = 4242) -> Done:
    """An approval of one of some cards."""
    return Done(_state(card_last4=f"{card:04}"))


def _state(**changes: Any) -> TransactionState:
    return done(CHARGE, **changes).transaction


@pytest.mark.parametrize("place", ["intent", "address", "merchant"])
def test_declines_are_counted_by_place(place: str) -> None:
    """After so many at one place no more are let through there; elsewhere they are."""
    shop = Shop(**{f"{place}_declines_max": 3})
    elsewhere = count(2)
    fixed = {place: 1}

    def charge() -> Problem | None:
        others = {name: next(elsewhere) for name in ("intent", "address", "merchant")}
        return shop.charge(declined(), **others | fixed)

    assert [charge() for _ in range(3)] == [None] * 3
    problem = charge()
    assert problem is not None
    assert (problem.code, problem.status) == ("too_many_attempts", 429)
    assert place in problem.detail
    assert 0 < problem.retry_after_s <= 1_200
    fixed[place] = 99
    assert charge() is None


@pytest.mark.parametrize("place", ["intent", "address"])
def test_different_cards_are_counted_by_place(place: str) -> None:
    """Approved ones too; one card again and again is one."""
    shop = Shop(**{f"{place}_cards_max": 3})
    same: list[SwitchReply | MuxError | None] = [declined(1)] * 20
    assert shop.let_through(same) == 20
    different: list[SwitchReply | MuxError | None] = [approved(card) for card in range(2, 9)]
    assert shop.let_through(different) == 2
    assert shop.let_through([approved(1)]) == 0  # who is stopped is stopped for every card


@pytest.mark.parametrize(
    "reply",
    [
        None,
        MuxClosedError("gone"),
        Refused("overloaded", 1),
        Refused("operation_in_progress"),
        Refused("card_undecryptable"),
        Done(_state(status="pending_verification", card_last4="")),
        Done(_state(status="failed"), replayed=True),
        approved(),
    ],
    ids=[
        "none",
        "closed",
        "overloaded",
        "in_progress",
        "undecryptable",
        "pending",
        "replayed",
        "approved",
    ],
)
def test_what_is_no_decline_is_given_back(reply: SwitchReply | MuxError | None) -> None:
    """However often it happens, nobody is stopped: the good twin of the above."""
    shop = Shop(intent_declines_max=2, intent_cards_max=2, address_declines_max=2)
    assert shop.let_through([reply] * 30) == 30


@pytest.mark.parametrize("code", ["card_declined_before", "retry_limit_reached"])
def test_a_card_that_was_declined_before_counts(code: str) -> None:
    """Trying it again is trying."""
    assert Shop(intent_declines_max=2).let_through([Refused(code)] * 5) == 2


def test_charges_at_the_same_moment_do_not_slip_through() -> None:
    """While nothing is known of any of a hundred, only so many are let through."""
    shop = Shop(address_declines_max=5)
    begun = []
    for intent in range(100):
        try:
            begun.append(shop.begin(intent, 1, 1, 0.0))
        except ProblemError:
            continue
    assert len(begun) == 5
    for attempt in begun:
        shop.velocity.end(attempt, approved())
    assert shop.charge(declined()) is None


def test_who_is_stopped_in_one_place_counts_in_none() -> None:
    """A charge that the address's limit refuses takes nothing of the intent's or merchant's."""
    shop = Shop(address_declines_max=1, intent_declines_max=2, merchant_declines_max=2)
    assert shop.charge(declined()) is None
    assert [shop.charge(declined()) is None for _ in range(9)] == [False] * 9
    assert shop.charge(declined(), address=2) is None


def test_attempts_come_back_with_time() -> None:
    """One of three an hour comes back after twenty minutes, and not earlier."""
    shop = Shop(intent_declines_max=3)
    assert shop.let_through([declined()] * 4) == 3
    assert shop.charge(declined(), at_s=1_199.0) is not None
    assert shop.charge(declined(), at_s=1_201.0) is None
    assert shop.charge(declined(), at_s=1_202.0) is not None


def test_a_busy_shops_declines_do_not_add_up() -> None:
    """Half of its charges are declined, each from an address of its own, for ever."""
    shop = Shop(merchant_declines_max=3)
    for number in range(100):
        reply = approved() if number % 2 else declined()
        assert shop.charge(reply, intent=number, address=number % 250 + 1) is None
    assert shop.let_through([declined()] * 9) == 3


def test_loopback_is_no_place() -> None:
    """What comes through a proxy that is not named does not share one address."""
    shop = Shop(address_declines_max=1, address_cards_max=1)
    replies = [declined(card) for card in range(30)]
    assert all(shop.charge(reply, intent=card, address=0) is None
               for card, reply in enumerate(replies))  # fmt: skip


def test_a_thief_with_a_thousand_cards_is_stopped() -> None:
    """One address, as many baskets as it likes: with the defaults it tries a few dozen."""
    shop = Velocity(Settings(), Addresses([]))
    tried = Shop()
    tried.velocity = shop
    cards = [declined(card) for card in range(1_000)]
    through = sum(tried.charge(card, intent=number) is None for number, card in enumerate(cards))
    assert through == Settings().address_declines_max


@pytest.mark.parametrize("place", ["address", "merchant"])
def test_somebody_is_told_that_cards_are_tried(place: str) -> None:
    """Once a minute, with the merchant and how many were not told: an attack floods no log."""
    shop = Shop(**{f"{place}_declines_max": 1})
    with capture_logs() as lines:
        for number in range(10):
            shop.charge(declined(), intent=number, at_s=100.0)
        shop.charge(declined(), at_s=161.0)
    assert [line["refused_besides"] for line in lines] == [0, 8]
    assert {line["event"] for line in lines} == {"cards are being tried"}
    assert {line["place"] for line in lines} == {place}
    assert {line["merchant"] for line in lines} == {public_id("mer", bytes([1] * 16))}


def test_nobody_is_told_of_one_basket() -> None:
    """A customer who has no luck with one intent is no attack."""
    shop = Shop(intent_declines_max=1)
    with capture_logs() as lines:
        assert shop.let_through([declined()] * 9) == 1
    assert lines == []
