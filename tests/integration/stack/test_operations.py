"""What merchants do with payments, through every process of a running stack."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
import trio

from stack.payments import Payment
from stack.temporary import TemporaryStack
from tests.support.whole_stack import WholeStack, running_in_thread
from turnout_client import (
    APIError,
    Card,
    ConflictError,
    InvalidRequestError,
    PaymentIntent,
    Transaction,
)
from turnout_client.on_trio import TrioTurnout

OVERRIDES = {
    "log.level": "warning",
    "networks.vsim.inquiry_times_s": "0.3,0.6",
    "networks.vsim.inquiry_window_s": "2",
    "networks.vsim.response_deadline_s": "1",
}
APPROVED = "4242424242424242"
HELD = "5555555555554444"  # of the network that can hold an amount
VERIFIED = "4000000000006801"
SILENT = "4000000000007809"
DECLINED = "4000000000009995"


@pytest.fixture(scope="module")
def stack() -> Iterator[TemporaryStack]:
    """One stack for all payments; doubts are short on it."""
    with running_in_thread(OVERRIDES) as stack:
        yield stack


@pytest.fixture
async def shop(stack: TemporaryStack) -> AsyncIterator[TrioTurnout]:
    """The demo shop."""
    found = stack.credentials()
    async with TrioTurnout(found.publishable_key, found.secret_key, found.api_url) as shop:
        yield shop


def card(number: str) -> Card:
    """Any test card."""
    return Card(number=number, exp_month=12, exp_year=2030, cvc="123")


async def charged(shop: TrioTurnout, number: str, **options: Any) -> PaymentIntent:
    """An intent of 24.99 USD that was charged, and whose outcome is known."""
    intent = await shop.create_payment_intent(2_499, "usd", **options)
    await shop.charge(intent, card(number))
    return await shop.wait(intent)


async def held(shop: TrioTurnout, number: str = HELD, **options: Any) -> PaymentIntent:
    """An intent whose amount is held."""
    return await charged(shop, number, capture_method="manual", **options)


async def story(shop: TrioTurnout, intent: PaymentIntent) -> list[str]:
    """Kind, MTI and outcome of every message once all have ended."""
    with trio.fail_after(20):
        while True:
            payment = Payment(await shop.retrieve(intent), await shop.events(intent))
            if payment.is_at_rest and payment.intent.is_final:
                break
            await trio.sleep(0.05)
    return [
        f"{transaction.type} {attempt.kind} {attempt.mti} {attempt.outcome}"
        for transaction in payment.transactions()
        for attempt in transaction.attempts
    ]


async def test_an_authorization_is_captured_in_part_and_the_rest_released(
    shop: TrioTurnout,
) -> None:
    """Held until a day that is told; then what was captured is paid and nothing else is held."""
    intent = await held(shop)
    assert (intent.status, intent.amount_capturable, intent.amount_captured) == (
        "authorized",
        2499,
        0,
    )
    assert intent.capture_before is not None
    capture = await shop.capture(intent, 1_999)
    assert (capture.type, capture.status, capture.final_capture) == ("capture", "succeeded", True)
    paid = await shop.wait(intent)
    assert (paid.status, paid.amount_capturable, paid.amount_captured) == ("succeeded", 0, 1999)
    assert await story(shop, intent) == [
        "charge request 0100 approved",
        "capture request 0220 approved",
        "capture release 0420 approved",
    ]


async def test_several_captures_end_with_the_last(shop: TrioTurnout) -> None:
    """Not final: authorized again, with less; more than what is left is refused."""
    intent = await held(shop)
    first = await shop.capture(intent, 500, final=False)
    assert (first.amount_in_cents, first.final_capture) == (500, False)
    left = await shop.wait(intent)
    assert (left.status, left.amount_capturable, left.amount_captured) == ("authorized", 1999, 500)
    with pytest.raises(InvalidRequestError) as refused:
        await shop.capture(intent, 2_000)
    assert refused.value.code == "amount_exceeds_capturable"
    last = await shop.capture(intent)
    assert last.amount_in_cents == 1999
    paid = await shop.wait(intent)
    assert (paid.status, paid.amount_captured) == ("succeeded", 2499)
    assert "release" not in " ".join(await story(shop, intent))


async def test_an_authorization_is_canceled(shop: TrioTurnout) -> None:
    """The network gives it up, and nothing can be captured any more."""
    intent = await held(shop)
    cancel = await shop.cancel(intent)
    assert (cancel.type, cancel.status) == ("cancel", "succeeded")
    canceled = await shop.retrieve(intent)
    assert (canceled.status, canceled.amount_capturable) == ("canceled", 0)
    assert await story(shop, intent) == [
        "charge request 0100 approved",
        "cancel request 0400 approved",
    ]
    with pytest.raises(ConflictError) as refused:
        await shop.capture(intent)
    assert refused.value.code == "intent_canceled"


async def test_what_nobody_paid_is_canceled_at_once(shop: TrioTurnout) -> None:
    """Without a message; its reference is free again, and it takes no charge any more."""
    reference = {"merchant_reference": "order-cancel-1"}
    intent = await shop.create_payment_intent(2_499, "usd", **reference)
    assert (await shop.cancel(intent)).status == "succeeded"
    assert (await shop.retrieve(intent)).status == "canceled"
    assert await story(shop, intent) == []
    last = (await shop.events(intent))[-1]
    assert (last.type, last.actor) == ("payment_intent.canceled", "api")
    with pytest.raises(ConflictError) as refused:
        await shop.charge(intent, card(APPROVED))
    assert refused.value.code == "intent_canceled"
    again = await shop.create_payment_intent(2_499, "usd", **reference)
    assert again.id != intent.id


async def test_what_was_paid_is_given_back_in_parts(shop: TrioTurnout) -> None:
    """Never more than was captured; the intent stays succeeded."""
    intent = await charged(shop, APPROVED)
    with pytest.raises(ConflictError) as refused:
        await shop.cancel(intent)
    assert refused.value.code == "use_refund"
    refund = await shop.refund(intent, 500)
    assert (refund.type, refund.status, refund.amount_in_cents) == ("refund", "succeeded", 500)
    with pytest.raises(InvalidRequestError) as too_much:
        await shop.refund(intent, 2_000)
    assert too_much.value.code == "amount_exceeds_refundable"
    rest = await shop.refund(intent)
    assert rest.amount_in_cents == 1999
    read = await shop.retrieve(intent)
    assert (read.status, read.amount_refunded) == ("succeeded", 2499)
    types = [event.type for event in await shop.events(intent)]
    assert types[-3:] == [
        "payment_intent.partially_refunded",
        "transaction.created",
        "payment_intent.refunded",
    ]


async def test_what_was_captured_is_given_back_before_the_rest_is_captured(
    shop: TrioTurnout,
) -> None:
    """Never more than was captured so far; then the rest of the authorization is canceled."""
    intent = await held(shop)
    await shop.capture(intent, 500, final=False)
    with pytest.raises(InvalidRequestError) as refused:
        await shop.refund(intent, 501)
    assert refused.value.code == "amount_exceeds_refundable"
    assert (await shop.refund(intent, 200)).status == "succeeded"
    left = await shop.retrieve(intent)
    assert (left.status, left.amount_capturable, left.amount_refunded) == ("authorized", 1999, 200)
    assert (await shop.cancel(intent)).status == "succeeded"
    paid = await shop.retrieve(intent)
    assert (paid.status, paid.amount_captured, paid.amount_refunded) == ("succeeded", 500, 200)


async def test_refunds_at_once_never_give_back_more_than_was_paid(shop: TrioTurnout) -> None:
    """Ten refunds of a fifth each: five succeed, five are refused."""
    intent = await charged(shop, APPROVED)
    ended: list[str] = []

    async def refund() -> None:
        try:
            ended.append((await shop.refund(intent, 499)).status)
        except APIError as error:
            ended.append(error.code)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(refund)
    assert sorted(ended) == ["amount_exceeds_refundable"] * 5 + ["succeeded"] * 5
    assert (await shop.retrieve(intent)).amount_refunded == 2_495


async def test_twenty_copies_of_a_request_do_one_thing(shop: TrioTurnout) -> None:
    """Same key, same answer, one message; another request under the key is refused."""
    intent = await charged(shop, APPROVED)
    answers: list[Transaction] = []

    async def refund() -> None:
        answers.append(await shop.refund(intent, 100, idempotency_key="refund-1"))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(refund)
    assert len({answer.id for answer in answers}) == 1
    assert (await shop.retrieve(intent)).amount_refunded == 100
    assert len(await story(shop, intent)) == 2
    with pytest.raises(ConflictError) as refused:
        await shop.refund(intent, 101, idempotency_key="refund-1")
    assert refused.value.code == "idempotency_key_reused"


async def test_a_card_is_verified_before_it_is_charged(shop: TrioTurnout) -> None:
    """No money moves, the intent stays created, and a declined card is told as one."""
    intent = await shop.create_payment_intent(2_499, "usd")
    good = await shop.verify(intent, card(APPROVED))
    assert (good.type, good.status, good.amount_in_cents) == ("verification", "succeeded", 0)
    bad = await shop.verify(intent, card(DECLINED))
    assert (bad.status, bad.decline_code) == ("failed", "insufficient_funds")
    assert (await shop.retrieve(intent)).status == "created"
    await shop.charge(intent, card(APPROVED))
    paid = await shop.wait(intent)
    assert (paid.status, paid.amount_captured) == ("succeeded", 2499)


async def test_a_network_that_cannot_hold_says_so(shop: TrioTurnout) -> None:
    """Nothing is recorded, and the intent may be charged with another card."""
    intent = await shop.create_payment_intent(2_499, "usd", capture_method="manual")
    with pytest.raises(InvalidRequestError) as refused:
        await shop.charge(intent, card(APPROVED))
    assert refused.value.code == "capture_method_unavailable"
    assert (await shop.retrieve(intent)).status == "created"
    await shop.charge(intent, card(HELD))
    assert (await shop.wait(intent)).status == "authorized"


async def test_a_card_that_is_lost_is_not_tried_again(shop: TrioTurnout) -> None:
    """Declined for good once, refused from then on: 409, nothing sent, and the intent is as new."""
    lost = f"42424241{os.getpid():08d}"
    first = await charged(shop, lost)
    assert first.last_error is not None
    assert (first.status, first.last_error.decline_code) == ("failed", "lost_card")
    intent = await shop.create_payment_intent(2_499, "usd")
    with pytest.raises(ConflictError) as refused:
        await shop.charge(intent, card(lost))
    assert refused.value.code == "card_declined_before"
    assert (await shop.retrieve(intent)).status == "created"


async def test_captures_at_once_collect_an_amount_once(shop: TrioTurnout) -> None:
    """One is taken; the others are told that it is under way, or done."""
    intent = await held(shop)
    ended: list[str] = []

    async def capture() -> None:
        try:
            ended.append((await shop.capture(intent)).status)
        except ConflictError as error:
            ended.append(error.code)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(capture)
    assert ended.count("succeeded") == 1
    assert set(ended) <= {"succeeded", "operation_in_progress", "already_succeeded"}
    assert (await shop.wait(intent)).amount_captured == 2499


async def test_silence_is_inquired_about(shop: TrioTurnout) -> None:
    """202 first; then the network says that it had approved, and nothing is reversed."""
    intent = await shop.create_payment_intent(2_499, "usd")
    assert (await shop.charge(intent, card(VERIFIED))).status == "pending_verification"
    assert (await shop.wait(intent)).status == "succeeded"
    told = await story(shop, intent)
    assert told[0] == "charge request 0200 approved"
    assert told[-1] == "charge inquiry 0600 approved"
    assert "reversal" not in " ".join(told)


async def test_what_stays_silent_is_reversed(shop: TrioTurnout) -> None:
    """The intent has failed, its charge is reversed, and it can be charged again."""
    intent = await shop.create_payment_intent(2_499, "usd")
    await shop.charge(intent, card(SILENT))
    failed = await shop.wait(intent)
    assert failed.status == "failed"
    assert failed.latest_transaction is not None
    assert failed.latest_transaction.status == "reversed"
    assert failed.last_error is not None
    assert failed.last_error.code == "payment_reversed"
    told = await story(shop, intent)
    assert told[0] == "charge request 0200 reversed"
    assert told[-1] == "charge reversal 0420 approved"
    await shop.charge(intent, card(APPROVED))
    assert (await shop.wait(intent)).status == "succeeded"


@pytest.mark.parametrize("number", [VERIFIED, SILENT])
async def test_a_cancel_in_doubt_has_its_way(
    stack: TemporaryStack, shop: TrioTurnout, number: str
) -> None:
    """It waits until the outcome is known; an approval is reversed. The end is canceled."""
    intent = await shop.create_payment_intent(2_499, "usd")
    with WholeStack(stack, shop).stopped("vsim"):  # or it might be asked before the cancel comes
        await shop.charge(intent, card(number))
        cancel = await shop.cancel(intent)
        assert (cancel.type, cancel.status) == ("cancel", "pending")
        waiting = await shop.retrieve(intent)
        assert (waiting.status, waiting.cancel_requested) == ("pending_verification", True)
    canceled = await shop.wait(intent)
    assert (canceled.status, canceled.amount_captured) == ("canceled", 0)
    assert (await story(shop, intent))[-1] == "charge reversal 0420 approved"


async def test_a_browser_may_charge_and_nothing_else(
    stack: TemporaryStack, shop: TrioTurnout
) -> None:
    """Its client secret opens neither captures nor refunds nor cancels."""
    intent = await shop.create_payment_intent(2_499, "usd", capture_method="manual")
    sealed = await shop.seal(intent, card(HELD))

    def ask(body: dict[str, Any]) -> tuple[int, str]:
        found = stack.credentials()
        assert intent.client_secret is not None
        connection = HTTPConnection(found.api_url.removeprefix("http://"), timeout=10)
        headers = {
            "Authorization": f"Bearer {found.publishable_key}",
            "X-Client-Secret": intent.client_secret,
            "Content-Type": "application/json",
            "Idempotency-Key": body["type"],
        }
        target = f"/payment-intents/{intent.id}/transactions"
        connection.request("POST", target, json.dumps(body), headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, document.get("code") or document["status"]

    charge = {"type": "charge", "card": {"ciphertext": sealed}}
    assert await trio.to_thread.run_sync(ask, charge) == (200, "succeeded")
    for type_ in ("capture", "cancel", "refund"):
        assert await trio.to_thread.run_sync(ask, {"type": type_}) == (403, "scope_not_allowed")
    assert (await shop.retrieve(intent)).status == "authorized"
