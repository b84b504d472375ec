"""The stories of the demo: four payments, each with the end that its name promises."""

from __future__ import annotations

from typing import Final, Protocol

import trio
from attrs import frozen

from stack.payments import Payment
from turnout_client import (
    Card,
    PaymentIntent,
    TimelineEvent,
    Transaction,
    TurnoutError,
)

AMOUNT_IN_CENTS: Final = 2_499
CURRENCY: Final = "usd"
PATIENCE_S: Final = 15.0  # a late answer comes after the response deadline of 2 s
POLL_S: Final = 0.1
FINAL_STATUSES: Final = frozenset({"succeeded", "failed", "canceled"})


@frozen
class Story:
    """One payment to make.

    Attributes:
        name: short, also in the JSON.
        card_number: a test card of contract 5.
        ends: the status of the intent at its end.
        about: what happens, for people.
    """

    name: str
    card_number: str
    ends: str
    about: str

    @property
    def card(self) -> Card:
        """The card; expiry and CVC may be anything valid."""
        return Card(number=self.card_number, exp_month=12, exp_year=2030, cvc="123")


STORIES: Final = (
    Story("approved", "4242424242424242", "succeeded", "the issuer approves"),
    Story("declined", "4000000000000002", "failed", "the issuer declines"),
    Story(
        "late",
        "4000000000008807",
        "succeeded",
        "the approval comes after the deadline and is adopted",
    ),
    Story(
        "silent",
        "4000000000007809",
        "pending_verification",
        "no answer ever comes, which is not a decline",
    ),
)


class Shop(Protocol):
    """A merchant's client, such as `turnout_client.on_trio.TrioTurnout`."""

    async def create_payment_intent(
        self, amount_in_cents: int, currency: str, *, description: str
    ) -> PaymentIntent:
        """Say what is to be collected."""

    async def charge(self, intent: PaymentIntent, card: Card) -> Transaction:
        """Seal a card and charge it."""

    async def retrieve(self, intent: PaymentIntent) -> PaymentIntent:
        """Read the intent as it stands."""

    async def events(self, intent: PaymentIntent) -> tuple[TimelineEvent, ...]:
        """Read its timeline."""


@frozen(kw_only=True)
class Told:
    """A story that was played.

    Attributes:
        payment: None if the merchant did not get that far.
        problem: why it went wrong; empty if it ended as it should.
    """

    story: Story
    payment: Payment | None
    problem: str = ""


async def play(story: Story, shop: Shop) -> Told:
    """Make one payment and watch it until it ends as told, otherwise, or not in time."""
    try:
        intent = await shop.create_payment_intent(
            AMOUNT_IN_CENTS, CURRENCY, description=f"Demo story: {story.name}"
        )
        await shop.charge(intent, story.card)
        intent = await _watch(story, shop, intent)
        payment = Payment(intent, await shop.events(intent))
    except TurnoutError as error:
        return Told(story=story, payment=None, problem=f"{type(error).__name__}: {error}")
    if intent.status != story.ends:
        problem = f"is {intent.status}, should be {story.ends}"
        return Told(story=story, payment=payment, problem=problem)
    return Told(story=story, payment=payment)


async def play_all(shop: Shop, stories: tuple[Story, ...] = STORIES) -> list[Told]:
    """Play every story at once; the results stand in their order."""
    told: dict[str, Told] = {}

    async def one(story: Story) -> None:
        told[story.name] = await play(story, shop)

    async with trio.open_nursery() as nursery:
        for story in stories:
            nursery.start_soon(one, story)
    return [told[story.name] for story in stories]


async def _watch(story: Story, shop: Shop, intent: PaymentIntent) -> PaymentIntent:
    with trio.move_on_after(PATIENCE_S):
        while True:
            intent = await shop.retrieve(intent)
            if intent.status == story.ends or intent.status in FINAL_STATUSES:
                break
            await trio.sleep(POLL_S)
    return intent
