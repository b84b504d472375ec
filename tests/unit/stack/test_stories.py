"""The demo's stories against a shop that answers as told."""

from __future__ import annotations

import pytest
import trio
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
    """A shop whose intent goes through `statuses`, one a read, and stays at the last one."""

    def __init__(self, *statuses: str, fails: bool = False) -> None:
        self._statuses = list(statuses)
        self._fails = fails
        self.charged: list[str] = []
        self.reads = 0

    async def create_payment_intent(
        self, amount_in_cents: int, currency: str, *, description: str
    ) -> PaymentIntent:
        """The intent."""
        assert (amount_in_cents, currency) == (2499, "usd")
        assert description
        return payments.intent("created")

    async def charge(self, intent: PaymentIntent, card: Card) -> Transaction:  # noqa: ARG002
        """Remember the card, or fail."""
        await trio.sleep(2)
        self.charged.append(card.number)
        if self._fails:
            raise ConnectionLostError("no answer", "key")
        return TRANSACTION

    async def retrieve(self, intent: PaymentIntent) -> PaymentIntent:  # noqa: ARG002
        """The next status."""
        self.reads += 1
        return payments.intent(
            self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        )

    async def events(self, intent: PaymentIntent) -> tuple[TimelineEvent, ...]:  # noqa: ARG002
        """A timeline."""
        return tuple(payments.approved().events)


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("approved", ["succeeded"]),
        ("declined", ["failed"]),
        ("late", ["pending_verification"] * 8 + ["succeeded"]),
        ("silent", ["processing", "pending_verification"]),
    ],
)
async def test_a_story_ends_as_told(
    autojump_clock: MockClock, name: str, statuses: list[str]
) -> None:
    """Each story is followed to the status that it names, through those that come before."""
    story = next(story for story in STORIES if story.name == name)
    shop = ToldShop(*statuses)
    told = await play(story, shop)
    assert told.problem == ""
    assert told.payment is not None
    assert told.payment.intent.status == story.ends
    assert shop.charged == [story.card_number]
    assert shop.reads == len(statuses)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("approved", "failed"),
        ("declined", "succeeded"),
        ("late", "failed"),
        ("silent", "succeeded"),
    ],
)
async def test_a_story_that_ends_otherwise_is_wrong_at_once(
    autojump_clock: MockClock, name: str, status: str
) -> None:
    """A final status that is not the one told is a problem, and nobody waits for another."""
    story = next(story for story in STORIES if story.name == name)
    began = trio.current_time()
    told = await play(story, ToldShop(status))
    assert told.problem == f"is {status}, should be {story.ends}"
    assert trio.current_time() - began < PATIENCE_S


async def test_a_story_that_never_ends_is_wrong_after_a_while(autojump_clock: MockClock) -> None:
    """The late answer that never comes is waited for in bounded time."""
    late = next(story for story in STORIES if story.name == "late")
    told = await play(late, ToldShop("pending_verification"))
    assert told.problem == "is pending_verification, should be succeeded"


async def test_a_client_that_fails_is_a_problem_of_its_story(autojump_clock: MockClock) -> None:
    """One story's error is told, and does not end the others."""
    told = await play(STORIES[0], ToldShop("succeeded", fails=True))
    assert told == Told(story=STORIES[0], payment=None, problem="ConnectionLostError: no answer")


async def test_stories_are_played_at_once_and_told_in_order(autojump_clock: MockClock) -> None:
    """Four charges of two seconds each take two seconds together."""
    stories = tuple(Story(f"story {n}", "4242424242424242", "succeeded", "") for n in range(4))
    began = trio.current_time()
    told = await play_all(ToldShop("succeeded"), stories)
    assert trio.current_time() - began == pytest.approx(2, abs=0.01)
    assert [each.story for each in told] == list(stories)
    assert all(isinstance(each.payment, Payment) for each in told)


def test_every_storys_card_does_what_the_story_says() -> None:
    """The cards are those of the simulator, with the outcomes that the stories tell."""
    outcomes = {card.number: card.outcome for card in load_cards()}
    assert {story.name: outcomes[story.card_number] for story in STORIES} == {
        "approved": "approved",
        "declined": "generic_decline",
        "late": "late_approval",
        "silent": "silent",
    }
