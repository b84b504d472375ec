"""Creating intents: what is answered, repeated, refused."""

from __future__ import annotations

import json
from functools import partial

import pytest
import trio

from api.resources import PaymentIntent
from tests.support.api import (
    RunningAPI,
    problem,
)
from tests.support.http import Response


async def test_an_intent_is_created_with_every_member_of_the_contract(api: RunningAPI) -> None:
    """The members and their order are the contract's; the secret is shown now and never again."""
    body = {
        "amountInCents": 500,
        "currency": "jpy",
        "description": "Übung №1",
        "merchantReference": "order-1",
        "metadata": {"cart": "7", "Käufer": "ja"},
        "allowPartialAuthorization": True,
        "captureMethod": "automatic",
    }
    response = await api.ask(api.shop.request("POST", "/payment-intents", body))
    created = json.loads(response.body)
    assert list(created) == list(PaymentIntent.__struct_encode_fields__)
    assert {name: created[name] for name in body} == body
    assert (created["status"], created["version"]) == ("created", 1)
    assert response.headers["location"] == f"/payment-intents/{created['id']}"
    assert created["clientSecret"].startswith(f"{created['id']}_secret_")
    read = await api.ask(api.shop.request("GET", response.headers["location"]))
    secret = created.pop("clientSecret")
    assert json.loads(read.body) == created
    assert secret not in read.body.decode()


async def test_a_repeated_creation_answers_the_same_intent(api: RunningAPI) -> None:
    """Same key, same request, signed anew: same intent, same client secret, said to be a replay."""
    body = {"amountInCents": 1, "currency": "usd"}
    sign = partial(api.shop.request, "POST", "/payment-intents", body)
    first = await api.ask(sign(signed_Idempotency_Key="order-1"))
    second = await api.ask(sign(signed_Idempotency_Key="order-1"))
    assert "idempotent-replayed" not in first.headers
    assert (second.status, second.headers["idempotent-replayed"]) == (201, "true")
    assert json.loads(second.body) == json.loads(first.body)


async def test_fifty_creations_at_once_make_one_intent(api: RunningAPI) -> None:
    """Duplicates in flight join the first and get its answer."""
    answers: list[Response] = []

    async def create() -> None:
        request = api.shop.request(
            "POST",
            "/payment-intents",
            {"amountInCents": 1, "currency": "usd"},
            signed_Idempotency_Key="once",
        )
        answers.append(await api.ask(request))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(create)
    assert {answer.status for answer in answers} == {201}
    assert len({json.loads(answer.body)["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


async def test_another_request_under_a_key_is_refused(api: RunningAPI) -> None:
    """A key stands for one request; another body is a conflict, another merchant is not."""
    ask = partial(api.shop.request, "POST", "/payment-intents")
    await api.ask(ask({"amountInCents": 1, "currency": "usd"}, signed_Idempotency_Key="k"))
    other = await api.ask(ask({"amountInCents": 2, "currency": "usd"}, signed_Idempotency_Key="k"))
    assert (other.status, problem(other)["code"]) == (409, "idempotency_key_reused")
    neighbor = await api.add_merchant()
    body = {"amountInCents": 2, "currency": "usd"}
    request = neighbor.request("POST", "/payment-intents", body, signed_Idempotency_Key="k")
    assert (await api.ask(request)).status == 201


async def test_a_refused_creation_does_not_use_its_key_up(api: RunningAPI) -> None:
    """What was refused before anything was recorded may be mended under the same key."""
    ask = partial(api.shop.request, "POST", "/payment-intents", signed_Idempotency_Key="k")
    assert (await api.ask(ask({"amountInCents": 0, "currency": "usd"}))).status == 422
    assert (await api.ask(ask({"amountInCents": 1, "currency": "usd"}))).status == 201


async def test_a_reference_belongs_to_one_intent(api: RunningAPI) -> None:
    """A second intent for one order is a conflict that names the first."""
    first = await api.create(merchantReference="order-7")
    body = {"amountInCents": 2499, "currency": "usd", "merchantReference": "order-7"}
    response = await api.ask(api.shop.request("POST", "/payment-intents", body))
    document = problem(response)
    assert (response.status, document["code"]) == (409, "merchant_reference_in_use")
    assert document["detail"] == f"the reference belongs to {first['id']}"
    assert document["errors"] == [
        {
            "pointer": "/merchantReference",
            "code": "merchant_reference_in_use",
            "detail": first["id"],
        }
    ]


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("0", "amount_out_of_range"),
        ("-1", "amount_out_of_range"),
        ("1.5", "amount_out_of_range"),
        ("1e3", "amount_out_of_range"),
        ("1000000000000", "amount_out_of_range"),
        ("9223372036854775808", "amount_out_of_range"),
        ("9" * 400, "amount_out_of_range"),
        ("4242424242424242", "amount_out_of_range"),
        ('"2499"', "invalid_type"),
        ("true", "invalid_type"),
        ("null", "invalid_type"),
    ],
)
async def test_amounts_that_are_none(api: RunningAPI, amount: str, code: str) -> None:
    """An amount is an integer from 1 to 999,999,999,999 and nothing else."""
    body = f'{{"amountInCents":{amount},"currency":"usd"}}'.encode()
    response = await api.ask(api.shop.request("POST", "/payment-intents", body))
    document = problem(response)
    assert (response.status, document["code"]) == (422, code)
    assert document["errors"][0]["pointer"] == "/amountInCents"
    assert amount.strip('"') not in document["detail"] or len(amount) < 5


async def test_the_largest_amount_passes(api: RunningAPI) -> None:
    """The bound itself is inside."""
    assert (await api.create(amountInCents=999_999_999_999))["amountInCents"] == 999_999_999_999


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        (b"", 400, "malformed_json", None),
        (b"[]", 400, "malformed_json", None),
        (b'{"amountInCents":1', 400, "malformed_json", None),
        (b'{"currency":"\xff"}', 400, "malformed_json", None),
        (b'{"currency":"\\ud800"}', 400, "malformed_json", None),
        (b'{"metadata":' + b"[" * 50_000, 400, "malformed_json", None),
        (b'{"a":' * 9 + b"1" + b"}" * 9, 400, "malformed_json", None),
        (b'{"amountInCents":1,"amountInCents":2,"currency":"usd"}', 400, "malformed_json", None),
        (
            b'{"amountInCents":1,"currency":"usd","captureMode":"x"}',
            422,
            "unknown_field",
            "/captureMode",
        ),
        (b'{"currency":"usd"}', 422, "missing_field", ""),
        (b'{"amountInCents":1,"currency":"usq"}', 422, "unknown_currency", "/currency"),
        (b'{"amountInCents":1,"currency":"USD"}', 422, "unknown_currency", "/currency"),
        (
            b'{"amountInCents":1,"currency":"usd","captureMethod":"later"}',
            422,
            "invalid_value",
            "/captureMethod",
        ),
        (
            b'{"amountInCents":1,"currency":"usd","description":"\\u0000"}',
            422,
            "invalid_value",
            "/description",
        ),
        (
            b'{"amountInCents":1,"currency":"usd","metadata":{"a":1}}',
            422,
            "invalid_type",
            "/metadata/a",
        ),
        (
            b'{"amountInCents":1,"currency":"usd","card":{"number":"1"}}',
            422,
            "raw_card_data_refused",
            "/card",
        ),
        (
            b'{"amountInCents":1,"currency":"usd","description":"4242 4242 4242 4242"}',
            422,
            "raw_card_data_refused",
            "/description",
        ),
        (
            b'{"amountInCents":1,"currency":"usd","metadata":{"cvc":"123"}}',
            422,
            "raw_card_data_refused",
            "/metadata",
        ),
    ],
)
async def test_bodies_that_are_refused(
    api: RunningAPI, body: bytes, status: int, code: str, pointer: str | None
) -> None:
    """Every fault has its status, its code and the place it is at."""
    response = await api.ask(api.shop.request("POST", "/payment-intents", body))
    document = problem(response)
    assert (response.status, document["code"]) == (status, code)
    assert [error["pointer"] for error in document["errors"]] == (
        [] if pointer is None else [pointer]
    )
    assert b"4242" not in response.body


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"signed_Idempotency_Key": None}, 422, "idempotency_key_required"),
        ({"signed_Idempotency_Key": "x" * 256}, 422, "idempotency_key_invalid"),
        ({"signed_Content_Type": "text/plain"}, 415, "unsupported_media_type"),
        ({"signed_Content_Type": None}, 415, "unsupported_media_type"),
        (
            {"signed_Content_Type": "application/json; charset=latin-1"},
            415,
            "unsupported_media_type",
        ),
    ],
)
async def test_posts_need_their_headers(
    api: RunningAPI, changes: dict[str, str | None], status: int, code: str
) -> None:
    """A key and a media type must be there, and be right."""
    body = {"amountInCents": 1, "currency": "usd"}
    response = await api.ask(api.shop.request("POST", "/payment-intents", body, **changes))
    assert (response.status, problem(response)["code"]) == (status, code)


async def test_json_with_a_charset_is_json(api: RunningAPI) -> None:
    """The charset that JSON has anyway may be said."""
    body = {"amountInCents": 1, "currency": "usd"}
    request = api.shop.request(
        "POST", "/payment-intents", body, signed_Content_Type="Application/JSON; charset=UTF-8"
    )
    assert (await api.ask(request)).status == 201


async def test_a_stream_far_behind_sheds_load_and_can_be_read(api: RunningAPI) -> None:
    """503 `overloaded` with Retry-After while WAL piles up; reading goes on."""
    created = await api.create()
    api.application.shards[0].heed_stream(is_behind=True)
    body = {"amountInCents": 1, "currency": "usd"}
    response = await api.ask(api.shop.request("POST", "/payment-intents", body))
    assert (response.status, response.headers["retry-after"]) == (503, "5")
    assert problem(response)["code"] == "overloaded"
    read = await api.ask(api.shop.request("GET", f"/payment-intents/{created['id']}"))
    assert read.status == 200
    api.application.shards[0].heed_stream(is_behind=False)
    await api.create()


async def test_full_disks_create_nothing_and_can_be_read(api: RunningAPI) -> None:
    """503 with Retry-After while it lasts; reading, and creating afterwards, go on."""
    created = await api.create()
    api.application.shards[0].heed_storage(is_full=True)
    body = {"amountInCents": 1, "currency": "usd"}
    response = await api.ask(api.shop.request("POST", "/payment-intents", body))
    assert (response.status, response.headers["retry-after"]) == (503, "5")
    assert problem(response)["code"] == "insufficient_storage"
    read = await api.ask(api.shop.request("GET", f"/payment-intents/{created['id']}"))
    assert read.status == 200
    api.application.shards[0].heed_storage(is_full=False)
    await api.create()
