"""Captures, cancels, refunds and verifications: the switch asked, its replies answered."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from api.resources import Transaction
from ledger.ids import parse_id
from switch.wire import Charge, Done, Operate
from tests.support.api import SEALED_CHARGE, RunningAPI, approved, problem, refuse
from tests.support.http import Response, until

VERIFY = SEALED_CHARGE | {"type": "verify"}
INTENT = "pi_0000000000000000000001"  # the switch, not the api, knows whether it is there


async def advance(api: RunningAPI, intent: str, columns: str) -> dict[str, Any]:
    """Change an intent as the switch would, and read it."""
    intent_id = parse_id("pi", intent).hex()
    await api.superuser.script(f"UPDATE payment_intents SET {columns} WHERE id = '{intent_id}'")
    response = await api.ask(api.shop.request("GET", f"/payment-intents/{intent}"))
    read: dict[str, Any] = json.loads(response.body)
    return read


async def operate(
    api: RunningAPI, body: dict[str, Any], intent: str = INTENT, **changes: str | None
) -> Response:
    """Do something with an intent of the shop."""
    target = f"/payment-intents/{intent}/transactions"
    return await api.ask(api.shop.request("POST", target, body, **changes))


@pytest.mark.parametrize(
    ("body", "type_", "amount_minor", "final_capture"),
    [
        ({"type": "capture"}, "capture", 0, True),
        ({"type": "capture", "amountInCents": 500}, "capture", 500, True),
        ({"type": "capture", "amountInCents": 5, "finalCapture": False}, "capture", 5, False),
        ({"type": "cancel"}, "cancel", 0, False),
        ({"type": "refund"}, "refund", 0, False),
        ({"type": "refund", "amountInCents": 1}, "refund", 1, False),
    ],
)
async def test_the_switch_is_asked(
    api: RunningAPI, body: dict[str, Any], type_: str, amount_minor: int, *, final_capture: bool
) -> None:
    """It gets what was sent, and for whom; no amount is all that remains."""
    response = await operate(api, body)
    assert response.status == 200
    (sent,) = api.switch.requests
    assert isinstance(sent, Operate)
    assert (sent.type, sent.amount_minor, sent.final_capture) == (
        type_,
        amount_minor,
        final_capture,
    )
    assert (sent.merchant_id, sent.live) == (api.shop.merchant_id, False)
    assert sent.request_id.hex() == response.headers["x-request-id"]


async def test_a_capture_is_answered_as_the_contract_has_it(api: RunningAPI) -> None:
    """The transaction, and whether it was the last capture."""
    response = await operate(api, {"type": "capture", "finalCapture": False})
    transaction = json.loads(response.body)
    assert list(transaction) == list(Transaction.__struct_encode_fields__)
    assert (transaction["type"], transaction["finalCapture"]) == ("capture", False)
    assert transaction["paymentIntent"] == INTENT


async def test_a_verification_brings_a_card_and_moves_no_money(api: RunningAPI) -> None:
    """It goes the way of a charge, says that it is none, and is answered with an amount of 0."""
    api.switch.decide = partial(approved, amount_minor=0, response_code="85")
    response = await operate(api, VERIFY)
    (sent,) = api.switch.requests
    assert isinstance(sent, Charge)
    assert (sent.operation, sent.ciphertext) == ("verification", VERIFY["card"]["ciphertext"])  # type: ignore[index]
    transaction = json.loads(response.body)
    assert (transaction["type"], transaction["amountInCents"]) == ("verification", 0)


@pytest.mark.parametrize("body", [{"type": "capture"}, {"type": "cancel"}, {"type": "refund"}])
@pytest.mark.parametrize("status", ["pending", "pending_verification", "reversing"])
async def test_what_is_not_final_says_where_to_look(
    api: RunningAPI, body: dict[str, Any], status: str
) -> None:
    """202, the intent's address, and when."""
    api.switch.decide = partial(approved, status=status)
    response = await operate(api, body)
    assert response.status == 202
    assert response.headers["location"] == f"/payment-intents/{INTENT}"
    assert response.headers["retry-after"] == "1"
    assert json.loads(response.body)["status"] == status


@pytest.mark.parametrize("status", ["succeeded", "failed", "reversed"])
async def test_what_is_final_is_200(api: RunningAPI, status: str) -> None:
    """A refund that the network refused, or that was undone, is an answer like any."""
    api.switch.decide = partial(approved, status=status)
    response = await operate(api, {"type": "refund"})
    assert response.status == 200
    assert "location" not in response.headers


async def test_a_repeat_is_told_as_one(api: RunningAPI) -> None:
    """The same request under the same key has the same digests; the switch says it knew them."""
    api.switch.decide = lambda sent: Done(approved(sent).transaction, replayed=True)
    for body in ({"type": "refund", "amountInCents": 5}, {"type": "refund", "amountInCents": 6}):
        for _ in range(2):
            response = await operate(api, body, signed_Idempotency_Key="k")
            assert response.headers["idempotent-replayed"] == "true"
    first, again, other, _ = api.switch.requests
    assert (first.key_digest, first.request_hash) == (again.key_digest, again.request_hash)
    assert first.key_digest == other.key_digest
    assert first.request_hash != other.request_hash


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("not_found", 404),
        ("operation_in_progress", 409),
        ("operation_in_doubt", 409),
        ("already_succeeded", 409),
        ("intent_canceled", 409),
        ("not_authorized", 409),
        ("capture_expired", 409),
        ("use_refund", 409),
        ("too_many_charges", 409),
        ("card_declined_before", 409),
        ("retry_limit_reached", 409),
        ("idempotency_key_reused", 409),
        ("amount_exceeds_capturable", 422),
        ("amount_exceeds_refundable", 422),
        ("capture_method_unavailable", 422),
        ("overloaded", 503),
        ("network_unavailable", 503),
    ],
)
async def test_every_refusal_has_its_status(api: RunningAPI, code: str, status: int) -> None:
    """Whatever the switch refuses with is a problem of the catalog."""
    created = await api.create()
    api.switch.decide = refuse(code)
    response = await operate(api, {"type": "refund"}, created["id"])
    assert (response.status, problem(response)["code"]) == (status, code)


async def test_an_operation_needs_a_key(api: RunningAPI) -> None:
    """Like every POST; without one nothing is asked of the switch."""
    response = await operate(api, {"type": "cancel"}, signed_Idempotency_Key=None)
    assert (response.status, problem(response)["code"]) == (422, "idempotency_key_required")
    assert api.switch.requests == []


async def test_without_a_switch_operations_are_503(api: RunningAPI) -> None:
    """And may be repeated under their key."""
    api.cut_switch()
    await until(lambda: not api.application.shards[0].charging.connected)
    response = await operate(api, {"type": "cancel"})
    assert (response.status, problem(response)["code"]) == (503, "switch_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_manual_intent_says_what_can_be_captured(api: RunningAPI) -> None:
    """How it is captured, what an authorization left to capture, and until when."""
    created = await api.create(captureMethod="manual", allowPartialAuthorization=True)
    assert (created["captureMethod"], created["allowPartialAuthorization"]) == ("manual", True)
    read = await advance(
        api,
        created["id"],
        "status = 'authorized', capturable_minor = 2000, version = 3,"
        " capture_before = '2026-01-09T03:04:05.5Z'",
    )
    assert (read["status"], read["amountCapturable"]) == ("authorized", 2000)
    assert read["captureBefore"] == "2026-01-09T03:04:05.500000Z"


async def test_amounts_and_wishes_show_in_the_intent(api: RunningAPI) -> None:
    """What was captured, given back and disputed, and that a cancel waits."""
    created = await api.create()
    read = await advance(
        api,
        created["id"],
        "status = 'succeeded', captured_minor = 2400, refunded_minor = 300,"
        " refund_pending_minor = 200, disputed_minor = 100, cancel_requested = true, version = 7",
    )
    amounts = [read[f"amount{what}"] for what in ("Captured", "Refunded", "Disputed", "Capturable")]
    assert amounts == [2400, 300, 100, 0]
    assert (read["cancelRequested"], read["version"]) == (True, 7)
