"""Charging intents: the switch asked, its replies answered."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from api.errors import CATALOG
from api.resources import Transaction
from api.transactions import CARD_REFUSALS
from switch.wire import Done, SwitchReply, SwitchRequest
from tests.support.api import (
    SEALED_CHARGE,
    RunningAPI,
    approved,
    charge,
    open_get,
    problem,
    refuse,
)
from tests.support.http import until


async def test_an_approved_charge(api: RunningAPI) -> None:
    """The switch gets what it needs and its transaction is answered as the contract has it."""
    created = await api.create()
    response = await charge(api, created["id"])
    transaction = json.loads(response.body)
    assert response.status == 200
    assert list(transaction) == list(Transaction.__struct_encode_fields__)
    assert transaction["paymentIntent"] == created["id"]
    assert (transaction["status"], transaction["approvalCode"]) == ("succeeded", "A1B2C3")
    (sent,) = api.switch.charges
    assert sent.publishable_key == api.shop.publishable_key
    assert sent.merchant_id == api.shop.merchant_id
    assert sent.ciphertext == SEALED_CHARGE["card"]["ciphertext"]  # type: ignore[index]
    assert sent.request_id.hex() == response.headers["x-request-id"]


async def test_a_declined_charge_is_an_answer(api: RunningAPI) -> None:
    """A decline is 200 with its code and advice."""
    api.switch.decide = partial(
        approved,
        status="failed",
        response_code="51",
        approval_code="",
        decline_code="insufficient_funds",
        advice="retry_later",
    )
    created = await api.create()
    response = await charge(api, created["id"])
    transaction = json.loads(response.body)
    assert response.status == 200
    assert (transaction["status"], transaction["declineCode"], transaction["advice"]) == (
        "failed",
        "insufficient_funds",
        "retry_later",
    )
    assert transaction["approvalCode"] is None


@pytest.mark.parametrize("status", ["pending", "pending_verification", "reversing"])
async def test_a_charge_that_is_not_final(api: RunningAPI, status: str) -> None:
    """202, where to look, and when."""
    api.switch.decide = partial(approved, status=status, response_code="", approval_code="")
    created = await api.create()
    response = await charge(api, created["id"])
    assert response.status == 202
    assert response.headers["location"] == f"/payment-intents/{created['id']}"
    assert response.headers["retry-after"] == "1"


async def test_a_replayed_charge_says_so(api: RunningAPI) -> None:
    """What the switch knows as a repeat is answered as one."""
    api.switch.decide = lambda sent: Done(approved(sent).transaction, replayed=True)
    created = await api.create()
    assert (await charge(api, created["id"])).headers["idempotent-replayed"] == "true"


async def test_equal_requests_have_equal_digests(api: RunningAPI) -> None:
    """Key digest and request hash follow the key and the request, not the signature."""
    created = await api.create()
    for key in ("a", "a", "b"):
        await charge(api, created["id"], signed_Idempotency_Key=key)
    first, again, other = api.switch.charges
    assert (first.key_digest, first.request_hash) == (again.key_digest, again.request_hash)
    assert first.key_digest != other.key_digest
    assert first.request_hash == other.request_hash


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("already_succeeded", 409),
        ("operation_in_progress", 409),
        ("card_undecryptable", 422),
        ("not_found", 404),
        ("a_code_without_a_page", 500),
    ],
)
async def test_refusals_of_the_switch(api: RunningAPI, code: str, status: int) -> None:
    """A refusal has the status of its code; an unknown code is our fault."""
    api.switch.decide = refuse(code)
    created = await api.create()
    response = await charge(api, created["id"])
    assert response.status == status
    assert problem(response)["code"] == (code if status != 500 else "internal_error")


@pytest.mark.parametrize("code", sorted(CARD_REFUSALS))
async def test_an_absent_intent_comes_before_a_bad_card(api: RunningAPI, code: str) -> None:
    """A card that is refused is 404 where the intent is nobody's or another merchant's."""
    api.switch.decide = refuse(code)
    created = await api.create()
    stranger = await api.add_merchant()
    target = f"/payment-intents/{created['id']}/transactions"
    for request in (
        api.shop.request(
            "POST", "/payment-intents/pi_" + "0" * 22 + "/transactions", SEALED_CHARGE
        ),
        stranger.request("POST", target, SEALED_CHARGE),
    ):
        response = await api.ask(request)
        assert (response.status, problem(response)["code"]) == (404, "not_found")
    response = await charge(api, created["id"])
    assert (response.status, problem(response)["code"]) == (CATALOG[code].status, code)


async def test_an_overloaded_switch_says_when_to_come_again(api: RunningAPI) -> None:
    """429 and 503 carry Retry-After."""
    created = await api.create()
    for code, status in (("rate_limited", 429), ("overloaded", 503)):
        api.switch.decide = refuse(code, 3)
        response = await charge(api, created["id"])
        assert (response.status, response.headers["retry-after"]) == (status, "3")


async def test_the_long_form_of_a_card(api: RunningAPI) -> None:
    """`card` is shorthand for a payment method of type card."""
    created = await api.create()
    body = {"type": "charge", "paymentMethod": {"type": "card", "ciphertext": "v1.k.c"}}
    target = f"/payment-intents/{created['id']}/transactions"
    assert (await api.ask(api.shop.request("POST", target, body))).status == 200
    assert api.switch.charges[0].ciphertext == "v1.k.c"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "steal"}, "invalid_value"),
        ({"type": 1}, "invalid_type"),
        ({}, "missing_field"),
        ({"type": "charge"}, "missing_field"),
        ({"type": "charge", "card": {}}, "missing_field"),
        ({"type": "charge", "card": {"ciphertext": 1}}, "invalid_type"),
        ({"type": "charge", "card": {"ciphertext": "v1.a.b", "x": 1}}, "unknown_field"),
        ({"type": "charge", "amountInCents": 1, "card": {"ciphertext": "v1.a.b"}}, "unknown_field"),
        ({"type": "charge", "card": {"ciphertext": "v1." + "x" * 1_100}}, "card_undecryptable"),
        (
            {"type": "charge", "card": {"number": "4242424242424242", "cvc": "123"}},
            "raw_card_data_refused",
        ),
        ({"type": "charge", "card": {"ciphertext": "4242424242424242"}}, "raw_card_data_refused"),
        (
            {"type": "charge", "paymentMethod": {"type": "cash", "ciphertext": "v1.a.b"}},
            "invalid_value",
        ),
    ],
)
async def test_charges_that_never_reach_the_switch(
    api: RunningAPI, body: dict[str, Any], code: str
) -> None:
    """What cannot be a charge is refused before anything is asked of the switch."""
    created = await api.create()
    target = f"/payment-intents/{created['id']}/transactions"
    response = await api.ask(api.shop.request("POST", target, body))
    assert (response.status, problem(response)["code"]) == (422, code)
    assert api.switch.charges == []


async def test_without_a_switch_charges_are_503_and_reading_goes_on(api: RunningAPI) -> None:
    """A lost switch is told at once; what does not need it works."""
    created = await api.create()
    api.cut_switch()
    await until(lambda: not api.application.shards[0].charging.connected)
    response = await charge(api, created["id"])
    assert (response.status, problem(response)["code"]) == (503, "switch_unavailable")
    assert response.headers["retry-after"] == "1"
    assert (await api.ask(open_get("/readyz"))).status == 503
    read = await api.ask(api.shop.request("GET", f"/payment-intents/{created['id']}"))
    assert read.status == 200


async def test_a_switch_that_dies_under_a_charge(api: RunningAPI) -> None:
    """The merchant is told to repeat under the same key, not that the charge failed."""
    created = await api.create()

    def hold(_request: SwitchRequest) -> SwitchReply | None:
        return None

    api.switch.decide = hold
    client = await api.connect()
    target = f"/payment-intents/{created['id']}/transactions"
    await client.send(api.shop.request("POST", target, SEALED_CHARGE))
    await until(lambda: bool(api.switch.charges))
    api.cut_switch()
    assert problem(await client.receive())["code"] == "switch_unavailable"
