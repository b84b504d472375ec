"""Bad input through the whole stack: refused by its code, unrecorded, and good afterwards."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from attrs import define

from benchmarks.prepared import Signer
from stack.temporary import TemporaryStack
from tests.support.http import Response, WireClient
from tests.support.whole_stack import SLOW, WholeStack
from turnout_client.seal import seal_card

X25519_BYTES = 32
P256_BYTES = 65
GOOD = "4242424242424242"
DECLINED = "4000000000000002"


@define
class TwoMerchants:
    """A shop, a stranger, and raw requests of either to one stack."""

    address: tuple[str, int]
    shop: Signer
    stranger: Signer
    keys: list[dict[str, Any]]

    async def ask(self, request: bytes) -> tuple[int, dict[str, Any]]:
        """Send one request on a connection of its own; status and JSON of the answer."""
        response = await self.response(request)
        document: dict[str, Any] = json.loads(response.body)
        return response.status, document

    async def response(self, request: bytes) -> Response:
        """Send one request on a connection of its own."""
        async with await trio.open_tcp_stream(*self.address) as stream:
            client = WireClient(stream)
            await client.send(request)
            return await client.receive()

    async def create(self, merchant: Signer | None = None) -> str:
        """A new intent."""
        body = b'{"amountInCents":2499,"currency":"usd"}'
        request = (merchant or self.shop).request("POST", "/payment-intents", body, new_key())
        status, intent = await self.ask(request)
        assert status == 201
        name: str = intent["id"]
        return name

    def seal(self, intent: str, pan: str = GOOD, **changes: Any) -> str:
        """A card sealed as it should be, but for the changes."""
        arguments: dict[str, Any] = {
            "keys": self.keys,
            "mode": "test",
            "publishable_key": self.shop.publishable_key,
            "intent_id": intent,
            "number": pan,
            "exp_month": 12,
            "exp_year": 2030,
            "cvc": "123",
        }
        return seal_card(**arguments | changes)

    def charge(
        self, intent: str, ciphertext: str, *, key: str, merchant: Signer | None = None
    ) -> bytes:
        """The request that charges an intent."""
        body = json.dumps({"type": "charge", "card": {"ciphertext": ciphertext}}).encode()
        target = f"/payment-intents/{intent}/transactions"
        return (merchant or self.shop).request("POST", target, body, key)

    async def status(self, intent: str) -> str:
        """Of an intent."""
        _, document = await self.ask(self.shop.request("GET", f"/payment-intents/{intent}"))
        status: str = document["status"]
        return status


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return secrets.token_hex(12)


@pytest.fixture(scope="module")
def stranger(stack: TemporaryStack) -> dict[str, str]:
    """A second merchant, made as an operator makes one."""
    command = [sys.executable, "-P", "-m", "turnout", "merchants", "create", "--json"]
    command += ["--name", "Another shop", "--data-dir", str(stack.data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    made: dict[str, str] = json.loads(done.stdout)
    return made


@pytest.fixture
async def merchants(whole: WholeStack, stranger: dict[str, str]) -> AsyncIterator[TwoMerchants]:
    """Both merchants before the module's stack; afterwards the witnesses agree."""
    credentials = whole.stack.credentials()
    host = credentials.api_url.removeprefix("http://")
    name, port = host.split(":")
    merchants = TwoMerchants(
        (name, int(port)),
        Signer(host, credentials.publishable_key, credentials.secret_key),
        Signer(host, stranger["publishable_key"], stranger["secret_key"]),
        [],
    )
    keys = await merchants.response(f"GET /keys HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    merchants.keys = json.loads(keys.body)["keys"]
    yield merchants
    await whole.prove()


def _with_point(ciphertext: str, point: bytes) -> str:
    """The ciphertext with another encapsulated key."""
    version, kid, text = ciphertext.split(".")
    sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    forged = urlsafe_b64encode(point + sealed[len(point) :]).rstrip(b"=").decode()
    return f"{version}.{kid}.{forged}"


def _of_suite(merchants: TwoMerchants, suite: int) -> list[dict[str, Any]]:
    return [key for key in merchants.keys if key["suite"] == suite]


Forgery = Callable[[TwoMerchants, str, str], str]  # the merchants, the intent, another intent
FORGERIES: dict[str, Forgery] = {
    "of another intent": lambda at, _, other: at.seal(other),
    "of another merchant": lambda at, intent, _: at.seal(
        intent, publishable_key=at.stranger.publishable_key
    ),
    "of live mode": lambda at, intent, _: at.seal(intent, mode="live"),
    "truncated": lambda at, intent, _: at.seal(intent)[:-24],
    "longer": lambda at, intent, _: at.seal(intent) + "AAAA",
    "of an unknown key": lambda at, intent, _: at.seal(intent).replace(
        at.seal(intent).split(".")[1], "AAAAAAAAAAA"
    ),
    "of a low-order point": lambda at, intent, _: _with_point(
        at.seal(intent, keys=_of_suite(at, 1)), bytes(X25519_BYTES)
    ),
    "of a point off the curve": lambda at, intent, _: _with_point(
        at.seal(intent, keys=_of_suite(at, 2)), b"\x04" + b"\x01" * (P256_BYTES - 1)
    ),
    "of the point at infinity": lambda at, intent, _: _with_point(
        at.seal(intent, keys=_of_suite(at, 2)), bytes(P256_BYTES)
    ),
    "of no known form": lambda at, intent, _: at.seal(intent).replace("v1.", "v2."),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_ciphertext_that_is_not_for_this_intent(
    merchants: TwoMerchants, forge: Forgery
) -> None:
    """One answer for every bad ciphertext; intent and idempotency key are as they were."""
    intent, other, key = await merchants.create(), await merchants.create(), new_key()
    status, problem = await merchants.ask(
        merchants.charge(intent, forge(merchants, intent, other), key=key)
    )
    assert (status, problem["code"]) == (422, "card_undecryptable")
    assert await merchants.status(intent) == "created"
    status, paid = await merchants.ask(merchants.charge(intent, merchants.seal(intent), key=key))
    assert (status, paid["status"]) == (200, "succeeded")


async def test_a_ciphertext_is_accepted_once(merchants: TwoMerchants) -> None:
    """After a decline the same sealed card is refused under another key; a new one is not."""
    intent = await merchants.create()
    sealed = merchants.seal(intent, DECLINED)
    status, declined = await merchants.ask(merchants.charge(intent, sealed, key=new_key()))
    assert (status, declined["status"], declined["declineCode"]) == (
        200,
        "failed",
        "generic_decline",
    )
    status, problem = await merchants.ask(merchants.charge(intent, sealed, key=new_key()))
    assert (status, problem["code"]) == (409, "card_ciphertext_reused")
    status, paid = await merchants.ask(
        merchants.charge(intent, merchants.seal(intent), key=new_key())
    )
    assert (status, paid["status"]) == (200, "succeeded")


async def _all(merchants: TwoMerchants, requests: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
    """Ask everything at once."""
    answers: list[tuple[int, dict[str, Any]]] = []

    async def ask(request: bytes) -> None:
        answers.append(await merchants.ask(request))

    async with trio.open_nursery() as nursery:
        for request in requests:
            nursery.start_soon(ask, request)
    return answers


async def test_charges_on_one_intent_at_once(merchants: TwoMerchants) -> None:
    """Of eight under different keys one reaches the network; the others are conflicts."""
    intent = await merchants.create()
    answers = await _all(
        merchants,
        [merchants.charge(intent, merchants.seal(intent, SLOW), key=new_key()) for _ in range(8)],
    )
    assert sorted(status for status, _ in answers) == [200] + [409] * 7
    codes = {document["code"] for status, document in answers if status == 409}
    assert codes == {"operation_in_progress"}


async def test_one_key_fifty_times_at_once(merchants: TwoMerchants) -> None:
    """Every one of them, and one later, hears of the same transaction."""
    intent, key = await merchants.create(), new_key()
    sealed = merchants.seal(intent, SLOW)
    answers = await _all(merchants, [merchants.charge(intent, sealed, key=key) for _ in range(50)])
    later = await merchants.response(merchants.charge(intent, sealed, key=key))
    assert later.headers["idempotent-replayed"] == "true"
    answers.append((later.status, json.loads(later.body)))
    assert {status for status, _ in answers} == {200}
    assert len({document["id"] for _, document in answers}) == 1


@pytest.mark.parametrize("while_pending", [False, True], ids=["after", "while pending"])
async def test_the_same_key_with_another_body(
    merchants: TwoMerchants, *, while_pending: bool
) -> None:
    """A key stands for one request, in flight and afterwards."""
    intent, key = await merchants.create(), new_key()
    requests = [merchants.charge(intent, merchants.seal(intent, SLOW), key=key) for _ in range(2)]
    if while_pending:
        answers = await _all(merchants, requests)
    else:
        answers = [await merchants.ask(request) for request in requests]
    assert sorted(status for status, _ in answers) == [200, 409]
    assert [document["code"] for status, document in answers if status == 409] == [
        "idempotency_key_reused"
    ]


@pytest.mark.parametrize(
    "card",
    [
        {"number": GOOD, "expMonth": 12, "expYear": 2030, "cvc": "123"},
        {"ciphertext": GOOD},
    ],
    ids=["as a card", "as a ciphertext"],
)
async def test_a_raw_card_number(merchants: TwoMerchants, card: dict[str, Any]) -> None:
    """It is refused as such, and not repeated in the answer."""
    intent = await merchants.create()
    body = json.dumps({"type": "charge", "card": card}).encode()
    target = f"/payment-intents/{intent}/transactions"
    response = await merchants.response(merchants.shop.request("POST", target, body, new_key()))
    assert response.status == 422
    assert json.loads(response.body)["code"] == "raw_card_data_refused"
    assert GOOD.encode() not in response.body
    assert await merchants.status(intent) == "created"


async def test_another_merchants_intent(merchants: TwoMerchants) -> None:
    """It does not exist for anybody else: neither to read nor to charge."""
    intent = await merchants.create()
    target = f"/payment-intents/{intent}"
    sealed = merchants.seal(intent)
    for request in (
        merchants.stranger.request("GET", target),
        merchants.stranger.request("GET", f"{target}/events"),
        merchants.charge(intent, sealed, key=new_key(), merchant=merchants.stranger),
    ):
        status, problem = await merchants.ask(request)
        assert (status, problem["code"]) == (404, "not_found")
    assert await merchants.status(intent) == "created"


async def test_another_merchants_signature(merchants: TwoMerchants) -> None:
    """A request under one merchant's key and signed by another is neither's."""
    intent = await merchants.create()
    shop = merchants.shop
    forger = Signer(shop.host, shop.publishable_key, merchants.stranger.secret_key)
    request = merchants.charge(intent, merchants.seal(intent), key=new_key(), merchant=forger)
    status, problem = await merchants.ask(request)
    assert (status, problem["code"]) == (401, "signature_mismatch")


async def test_a_request_sent_twice(merchants: TwoMerchants) -> None:
    """The second time its nonce is used up, and nothing is charged again."""
    intent = await merchants.create()
    request = merchants.charge(intent, merchants.seal(intent), key=new_key())
    status, paid = await merchants.ask(request)
    assert (status, paid["status"]) == (200, "succeeded")
    status, problem = await merchants.ask(request)
    assert (status, problem["code"]) == (401, "nonce_reused")
