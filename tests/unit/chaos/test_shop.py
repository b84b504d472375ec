"""The merchant of a run asks again what it must, and writes down what it hears."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import trio

from chaos.shop import Shop
from chaos.stories import Operation, Story, Way
from turnout_client import ConflictError, PaymentIntent, ServerError, Transaction
from turnout_client.on_trio import TrioTurnout

AT = datetime(2030, 1, 1, tzinfo=UTC)
ANSWER_S = 0.02


class Stack:
    """Answers as a stack would: one transaction a key, and each key's first answers as planned."""

    def __init__(self) -> None:
        self.first: list[str | Exception] = []  # statuses or errors before it succeeds
        self.asked: Counter[str] = Counter()
        self.most_at_once = 0
        self._under_way = 0

    async def create_payment_intent(self, *_: Any, **_options: Any) -> PaymentIntent:
        """Make the one intent there is."""
        await trio.lowlevel.checkpoint()
        return PaymentIntent.from_json(_intent())

    async def seal(self, *_: Any) -> str:
        """Seal a card."""
        await trio.lowlevel.checkpoint()
        return "v1.sealed"

    async def charge(self, _intent: Any, _card: str, *, idempotency_key: str) -> Transaction:
        """Charge after a while."""
        return await self._answer("charge", idempotency_key, 900)

    async def refund(self, _intent: Any, amount: int, *, idempotency_key: str) -> Transaction:
        """Refund after a while."""
        return await self._answer("refund", idempotency_key, amount)

    async def retrieve(self, _name: str) -> PaymentIntent:
        """Read the one intent there is."""
        await trio.lowlevel.checkpoint()
        return PaymentIntent.from_json(_intent(status="succeeded", amountCaptured=900))

    async def _answer(self, kind: str, key: str, amount: int) -> Transaction:
        self.asked[key] += 1
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await trio.sleep(ANSWER_S)
        finally:
            self._under_way -= 1
        planned = self.first.pop(0) if self.first else "succeeded"
        if isinstance(planned, Exception):
            raise planned
        return Transaction(
            id=f"txn_{key}",
            payment_intent="pi_1",
            type=kind,
            status=planned,
            amount_in_cents=amount,
            currency="usd",
            final_capture=None,
            decline_code=None,
            advice=None,
            response_code=None,
            approval_code=None,
            card=None,
            created_at=AT,
            updated_at=AT,
        )


def _intent(**changes: Any) -> dict[str, Any]:
    fresh: dict[str, Any] = {
        "id": "pi_1", "amountInCents": 900, "currency": "usd", "status": "created",
        "captureMethod": "automatic", "allowPartialAuthorization": False, "amountCapturable": 0,
        "amountCaptured": 0, "amountRefunded": 0, "amountDisputed": 0, "cancelRequested": False,
        "metadata": {}, "version": 1, "createdAt": AT.isoformat(), "updatedAt": AT.isoformat(),
    }  # fmt: skip
    return fresh | changes


def _error(kind: type[Any], status: int, code: str) -> Exception:
    error: Exception = kind(status=status, code=code, detail="", request_id="")
    return error


def _story(*stages: tuple[Operation, ...]) -> Story:
    return Story(
        number=4,
        network="vsim",
        pan="4242424242424242",
        amount=900,
        method="automatic",
        stages=stages,
    )


CHARGE = Operation(type="charge")
KEY = "chaos-9-4-0.0"


@pytest.fixture
def stack() -> Stack:
    """A stack that does as it is told."""
    return Stack()


@pytest.fixture
def shop(stack: Stack) -> Shop:
    """A merchant of seed 9."""
    return Shop(cast("TrioTurnout", stack), seed=9)


async def test_a_plain_payment_is_asked_for_once(
    stack: Stack, shop: Shop, autojump_clock: trio.testing.MockClock
) -> None:
    """What was told, asked and seen is the merchant's testimony."""
    assert await shop.play(_story((CHARGE,)))
    merchant = await shop.testify()
    assert [(each.key, each.status, each.amount) for each in merchant.told] == [
        (KEY, "succeeded", 900)
    ]
    assert merchant.asked == {("pi_1", "charge"): 1}
    assert [(each.intent, each.captured) for each in merchant.seen] == [("pi_1", 900)]
    assert merchant.unanswered == []
    assert stack.asked == {KEY: 1}


async def test_a_lost_answer_is_asked_for_again(
    stack: Stack, shop: Shop, autojump_clock: trio.testing.MockClock
) -> None:
    """Under the same key, after hanging up; that counts as one request for a transaction."""
    operation = Operation(type="charge", way=Way.LOST, cut_s=ANSWER_S / 2)
    assert await shop.play(_story((operation,)))
    merchant = await shop.testify()
    assert stack.asked == {KEY: 2}
    assert (len(merchant.told), shop.counts.hung_up) == (1, 1)
    assert merchant.asked == {("pi_1", "charge"): 1}


async def test_a_duplicate_is_under_way_at_the_same_time(
    stack: Stack, shop: Shop, autojump_clock: trio.testing.MockClock
) -> None:
    """Both answers are written down; a difference between them would be found."""
    assert await shop.play(_story((Operation(type="charge", way=Way.TWICE),)))
    assert (stack.asked, stack.most_at_once) == ({KEY: 2}, 2)
    assert len((await shop.testify()).told) == 2


async def test_a_doubt_is_asked_about_until_it_ends(
    stack: Stack, shop: Shop, autojump_clock: trio.testing.MockClock
) -> None:
    """Every answer on the way is written down; so is the fault of a server, by its number."""
    stack.first = ["pending_verification", _error(ServerError, 500, "internal_error"), "reversed"]
    assert await shop.play(_story((CHARGE,), (CHARGE,)))
    assert [each.status for each in (await shop.testify()).told] == [
        "pending_verification",
        "reversed",
    ]
    assert shop.counts.faults == 1
    assert stack.asked == {KEY: 3}  # a charge that failed is the end of its story


async def test_a_refusal_ends_a_story(
    stack: Stack, shop: Shop, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing was recorded; a marked payment that was refused is made anew by whoever marked it."""
    stack.first = [_error(ConflictError, 409, "operation_in_progress")]
    assert not await shop.play(_story((CHARGE,), (Operation(type="refund", amount=1),)))
    assert shop.counts.refused == {"operation_in_progress": 1}
    assert (await shop.testify()).told == []


async def test_refunds_of_a_stage_are_asked_for_side_by_side(
    stack: Stack, shop: Shop, autojump_clock: trio.testing.MockClock
) -> None:
    """Each under a key of its own."""
    refunds = tuple(Operation(type="refund", amount=part) for part in (1, 2, 3))
    assert await shop.play(_story((CHARGE,), refunds))
    assert stack.most_at_once == 3
    assert len(stack.asked) == 4
    assert (await shop.testify()).asked["pi_1", "refund"] == 3


async def test_a_payment_without_an_end_is_named(stack: Stack, shop: Shop) -> None:
    """Whoever is still waited for when the time is over is no success."""
    with trio.move_on_after(0):
        await shop.play(_story((CHARGE,)))
    assert (await shop.testify()).unanswered == ["payment 4"]
