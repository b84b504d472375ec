"""The demo's stories against a shop that answers as told."""

from __future__ import annotations

from typing import Unpack

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from network_sim.cards import load_cards
from stack.payments import Payment
from stack.stories import PATIENCE_S, STORIES, Story, Told, play, play_all
from tests.support import payments
from turnout_client import (
    Card,
    ConnectionLostError,
    PaymentIntent,
    TimelineEvent,
    Transaction,
)
from turnout_client.core import IntentOptions

TRANSACTION = Transaction(
    id="txn_1",
    payment_intent=payments.INTENT,
    type="charge",
    status="pending",
    amount_in_cents=2499,
    currency="usd",
    final_capture=None,
    decline_code=None,
    advice=None,
    response_code=None,
    approval_code=None,
    card=None,
    created_at=payments.STARTED_AT,
    updated_at=payments.STARTED_AT,
)


class ToldShop:
    """A shop whose payment goes through what it is given, one a reading, and stays at the last."""

    def __init__(self, *readings: Payment, fails: bool = False) -> None:
        self._readings = list(readings)
        self._fails = fails
        self.asked: list[str] = []
        self.reads = 0

    async def create_payment_intent(
        self, amount_in_cents: int, currency: str, **options: Unpack[IntentOptions]
    ) -> PaymentIntent:
        """The intent."""
        assert (amount_in_cents, currency) == (2499, "usd")
        assert options["description"]
        self.asked.append(options["capture_method"])
        return payments.intent("created")

    async def charge(self, intent: PaymentIntent, card: Card) -> Transaction:  # noqa: ARG002
        """Remember the card, or fail."""
        await trio.sleep(2)
        self.asked.append(card.number)
        if self._fails:
            raise ConnectionLostError("no answer", "key")
        return TRANSACTION

    async def capture(self, intent: PaymentIntent, amount_in_cents: int) -> Transaction:  # noqa: ARG002
        """Remember the amount."""
        self.asked.append(f"capture {amount_in_cents}")
        return TRANSACTION

    async def refund(self, intent: PaymentIntent, amount_in_cents: int) -> Transaction:  # noqa: ARG002
        """Remember the amount."""
        self.asked.append(f"refund {amount_in_cents}")
        return TRANSACTION

    async def retrieve(self, intent: PaymentIntent) -> PaymentIntent:  # noqa: ARG002
        """The next reading's intent."""
        self.reads += 1
        if self.reads > 1 and len(self._readings) > 1:
            self._readings.pop(0)
        return self._readings[0].intent

    async def events(self, intent: PaymentIntent) -> tuple[TimelineEvent, ...]:  # noqa: ARG002
        """The same reading's timeline."""
        return tuple(self._readings[0].events)


class SlowShop(ToldShop):
    """A shop whose charges take as many seconds as the card's number says."""

    async def charge(self, intent: PaymentIntent, card: Card) -> Transaction:  # noqa: ARG002
        """Take the time."""
        await trio.sleep(int(card.number))
        return TRANSACTION


def story_named(name: str) -> Story:
    """One of the demo's."""
    return next(story for story in STORIES if story.name == name)


IN_DOUBT = payments.payment("pending_verification", ("pending_verification", payments.UNKNOWN))
PAID = payments.payment("succeeded", ("succeeded", payments.APPROVED), amount_captured=2499)
# What each story's merchant reads, one after the other, and what it asks for.
PLAYED: dict[str, tuple[list[Payment], list[str]]] = {
    "approved": ([payments.approved()], []),
    "declined": ([payments.declined()], []),
    "late": ([IN_DOUBT] * 8 + [payments.late()], []),
    "verified": ([IN_DOUBT] * 3 + [payments.verified()], []),
    "reversed": ([IN_DOUBT] * 8 + [payments.reversed_()], []),
    "captured": ([payments.held(), payments.captured()], ["capture 1999"]),
    "refunded": ([PAID, payments.refunded()], ["refund 500"]),
}


@pytest.mark.parametrize("name", PLAYED)
async def test_a_story_ends_as_told(autojump_clock: MockClock, name: str) -> None:
    """Each story is followed to its end, through all that comes before, asking for what it says."""
    readings, asks = PLAYED[name]
    story, shop = story_named(name), ToldShop(*readings)
    told = await play(story, shop)
    assert told.problem == ""
    assert told.payment == readings[-1]
    method = "manual" if story.captures else "automatic"
    assert shop.asked == [method, story.card_number, *asks]
    assert shop.reads == len(readings)


@pytest.mark.parametrize(
    ("name", "payment", "problem"),
    [
        (
            "approved",
            payments.declined(),
            "the intent is failed, should be succeeded; the charge is failed, should be succeeded",
        ),
        (
            "declined",
            payments.approved(),
            "the intent is succeeded, should be failed; the charge is succeeded, should be failed",
        ),
        ("reversed", payments.declined(), "the charge is failed, should be reversed"),
        ("refunded", PAID, "what was refunded is 0, should be 500"),
        ("captured", PAID, "what was captured is 2499, should be 1999"),
    ],
)
async def test_a_story_that_ends_otherwise_is_wrong_at_once(
    autojump_clock: MockClock, name: str, payment: Payment, problem: str
) -> None:
    """An end that is not the one told is a problem, and nobody waits for another."""
    began = trio.current_time()
    told = await play(story_named(name), ToldShop(payment))
    assert told.problem == problem
    assert trio.current_time() - began < PATIENCE_S


async def test_a_story_that_never_ends_is_wrong_after_a_while(autojump_clock: MockClock) -> None:
    """The answer that never comes is waited for in bounded time."""
    told = await play(story_named("late"), ToldShop(IN_DOUBT))
    assert told.problem.startswith("the intent is pending_verification, should be succeeded")


async def test_a_story_is_not_over_while_a_message_is_under_way(
    autojump_clock: MockClock,
) -> None:
    """What was released is waited for too, although the intent has succeeded."""
    whole = payments.captured()
    open_ = Payment(whole.intent, whole.events[:-1])
    shop = ToldShop(payments.held(), open_, open_, whole)
    assert (await play(story_named("captured"), shop)).problem == ""
    assert shop.reads == 4
    told = await play(story_named("captured"), ToldShop(payments.held(), open_))
    assert told.problem == "a message is still under way"


async def test_a_client_that_fails_is_a_problem_of_its_story(autojump_clock: MockClock) -> None:
    """One story's error is told, and does not end the others."""
    told = await play(STORIES[0], ToldShop(payments.approved(), fails=True))
    assert told == Told(story=STORIES[0], payment=None, problem="ConnectionLostError: no answer")


async def test_stories_are_played_at_once_and_told_in_order(autojump_clock: MockClock) -> None:
    """Four charges of two seconds each take two seconds together."""
    stories = tuple(evolve(STORIES[0], name=f"story {n}") for n in range(4))
    began = trio.current_time()
    told: list[Told] = []
    await play_all(ToldShop(payments.approved()), told.append, stories)
    assert trio.current_time() - began == pytest.approx(2, abs=0.01)
    assert [each.story for each in told] == list(stories)
    assert all(isinstance(each.payment, Payment) for each in told)


async def test_a_story_is_told_as_soon_as_it_has_ended(autojump_clock: MockClock) -> None:
    """Nor is any told before those ahead of it."""
    shop = SlowShop(payments.approved())
    stories = tuple(
        evolve(STORIES[0], name=f"story {n}", card_number=f"{seconds}")
        for n, seconds in enumerate((1, 3, 2))
    )
    began = trio.current_time()
    heard: list[tuple[str, float]] = []

    def hear(told: Told) -> None:
        heard.append((told.story.name, trio.current_time() - began))

    await play_all(shop, hear, stories)
    assert [name for name, _ in heard] == ["story 0", "story 1", "story 2"]
    assert [at for _, at in heard] == [pytest.approx(n, abs=0.01) for n in (1, 3, 3)]


def test_every_storys_card_does_what_the_story_says() -> None:
    """The cards are those of the simulator, with the outcomes that the stories tell."""
    outcomes = {card.number: card.outcome for card in load_cards()}
    assert {story.name: outcomes[story.card_number] for story in STORIES} == {
        "approved": "approved",
        "declined": "generic_decline",
        "late": "late_approval",
        "verified": "silent_approval",
        "reversed": "silent",
        "captured": "approved",
        "refunded": "approved",
    }
