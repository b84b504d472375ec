"""The stories of the demo: payments, each with the end that its name promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, Unpack

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
from turnout_client.core import IntentOptions

AMOUNT_IN_CENTS: Final = 2_499
CURRENCY: Final = "usd"
PATIENCE_S: Final = 30.0  # for each step: a doubt lasts a deadline and a window of inquiries
POLL_S: Final = 0.1


@frozen(kw_only=True)
class Story:
    """One payment to make.

    Attributes:
        name: short, also in the JSON.
        card_number: a test card of contract 5.
        ends: the status of the intent at its end.
        charge_ends: the status of its charge then.
        about: what happens, for people.
        captures: what to collect of an amount that is held; 0 = the charge collects it.
        refunds: what to give back at last, or 0.
    """

    name: str
    card_number: str
    ends: str
    charge_ends: str
    about: str
    captures: int = 0
    refunds: int = 0

    @property
    def card(self) -> Card:
        """The card; expiry and CVC may be anything valid."""
        return Card(number=self.card_number, exp_month=12, exp_year=2030, cvc="123")

    @property
    def options(self) -> IntentOptions:
        """What its intent has besides amount and currency."""
        return IntentOptions(
            description=f"Demo story: {self.name}",
            capture_method="manual" if self.captures else "automatic",
        )


STORIES: Final = (
    Story(
        name="approved",
        card_number="4242424242424242",
        ends="succeeded",
        charge_ends="succeeded",
        about="the issuer approves",
    ),
    Story(
        name="declined",
        card_number="4000000000000002",
        ends="failed",
        charge_ends="failed",
        about="the issuer declines",
    ),
    Story(
        name="late",
        card_number="4000000000008807",
        ends="succeeded",
        charge_ends="succeeded",
        about="the approval comes after the deadline and is adopted",
    ),
    Story(
        name="verified",
        card_number="4000000000006801",
        ends="succeeded",
        charge_ends="succeeded",
        about="no answer comes; asked about it, the network says that it had approved",
    ),
    Story(
        name="reversed",
        card_number="4000000000007809",
        ends="failed",
        charge_ends="reversed",
        about="no answer ever comes, not to inquiries either, so the charge is undone",
    ),
    Story(
        name="captured",
        card_number="5555555555554444",
        ends="succeeded",
        charge_ends="succeeded",
        about="the amount is held first; then a part is collected and the rest given back",
        captures=1_999,
    ),
    Story(
        name="refunded",
        card_number="4242424242424242",
        ends="succeeded",
        charge_ends="succeeded",
        about="the issuer approves, and a part is given back",
        refunds=500,
    ),
)


class Shop(Protocol):
    """A merchant's client, such as `turnout_client.on_trio.TrioTurnout`."""

    async def create_payment_intent(
        self, amount_in_cents: int, currency: str, **options: Unpack[IntentOptions]
    ) -> PaymentIntent:
        """Say what is to be collected."""

    async def charge(self, intent: PaymentIntent, card: Card) -> Transaction:
        """Seal a card and charge it."""

    async def capture(self, intent: PaymentIntent, amount_in_cents: int) -> Transaction:
        """Collect a part of what is held."""

    async def refund(self, intent: PaymentIntent, amount_in_cents: int) -> Transaction:
        """Give back a part of what was collected."""

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
        payment = await _play(story, shop)
    except TurnoutError as error:
        return Told(story=story, payment=None, problem=f"{type(error).__name__}: {error}")
    return Told(story=story, payment=payment, problem=_problem(story, payment))


async def play_all(
    shop: Shop, hear: Callable[[Told], None], stories: tuple[Story, ...] = STORIES
) -> None:
    """Play every story at once.

    Args:
        shop: who is paid.
        hear: is given each in its order, as soon as it and those before it have ended.
        stories: what to play.
    """
    told: dict[str, Told] = {}
    ended = {story.name: trio.Event() for story in stories}

    async def one(story: Story) -> None:
        told[story.name] = await play(story, shop)
        ended[story.name].set()

    async with trio.open_nursery() as nursery:
        for story in stories:
            nursery.start_soon(one, story)
        for story in stories:
            await ended[story.name].wait()
            hear(told[story.name])


async def _play(story: Story, shop: Shop) -> Payment:
    intent = await shop.create_payment_intent(AMOUNT_IN_CENTS, CURRENCY, **story.options)
    await shop.charge(intent, story.card)
    payment = await _watch(shop, intent)
    if story.captures and payment.intent.status == "authorized":
        await shop.capture(intent, story.captures)
        payment = await _watch(shop, intent)
    if story.refunds and payment.intent.status == "succeeded":
        await shop.refund(intent, story.refunds)
        payment = await _watch(shop, intent)
    return payment


async def _watch(shop: Shop, intent: PaymentIntent) -> Payment:
    """Read the payment until it is at rest and every message of it has ended, or patience has."""
    payment = Payment(intent, ())
    with trio.move_on_after(PATIENCE_S):
        while True:
            intent = await shop.retrieve(intent)
            payment = Payment(intent, await shop.events(intent))
            if intent.is_final and payment.is_at_rest:
                break
            await trio.sleep(POLL_S)
    return payment


def _problem(story: Story, payment: Payment) -> str:
    """What did not end as told, or empty."""
    intent = payment.intent
    charge_status = next((each.status for each in payment.transactions()), "unknown to its intent")
    expected = {
        "the intent": (story.ends, intent.status),
        "the charge": (story.charge_ends, charge_status),
        "what was refunded": (story.refunds, intent.amount_refunded),
    }
    if story.captures:
        expected["what was captured"] = (story.captures, intent.amount_captured)
    wrong = [
        f"{what} is {found}, should be {told}"
        for what, (told, found) in expected.items()
        if told != found
    ]
    if not payment.is_at_rest:
        wrong.append("a message is still under way")
    return "; ".join(wrong)
