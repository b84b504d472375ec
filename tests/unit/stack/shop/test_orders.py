"""The shop's server: what it answers, what it asks of the API, what it does not believe."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import trio
import trio.lowlevel
from attrs import define, field

from api.http.answer import Answer
from api.http.exchange import Exchange
from api.http.parser import Request
from stack.shop.goods import GOODS
from stack.shop.keys import ShopKeys
from stack.shop.orders import Shop
from stack.shop.pages import answers
from turnout_client import ConnectionLostError, PaymentIntent
from turnout_client.on_trio import TrioTurnout

KEYS = ShopKeys(
    publishable_key="pk_test_shop",
    secret_key="sk_test_shop",
    api_url="http://127.0.0.1:8080",
    origins=("http://127.0.0.1:8081",),
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def intent(**changes: Any) -> PaymentIntent:
    """An intent as the client gives it."""
    whole = dict.fromkeys(PaymentIntent.__dataclass_fields__)
    known = {"id": "pi_1", "amount_in_cents": 2499, "currency": "usd", "status": "created"}
    return PaymentIntent(**cast("Any", whole | known | changes))


@define
class Client:
    """Answers as the API would, and notes what it was asked."""

    asked: list[tuple[str, Any]] = field(factory=list)
    answer: Callable[[], Awaitable[PaymentIntent]] | None = None

    async def create_payment_intent(self, amount: int, currency: str, **options: Any) -> Any:
        """Note it."""
        self.asked.append(("create", (amount, currency, options)))
        await trio.lowlevel.checkpoint()
        return await self.answer() if self.answer else intent(client_secret="pi_1_secret_x")

    async def retrieve(self, number: str) -> Any:
        """Note it."""
        self.asked.append(("retrieve", number))
        await trio.lowlevel.checkpoint()
        return await self.answer() if self.answer else intent(status="succeeded")


@define
class Replies:
    """Takes answers."""

    taken: list[Answer] = field(factory=list)

    def answered(self, exchange: Exchange, answer: Answer) -> bool:
        """Keep it."""
        exchange.wire = b""
        self.taken.append(answer)
        return True


@define
class Counter:
    """A shop and somebody who asks it."""

    shop: Shop
    client: Client

    async def ask(
        self, method: str, target: str, body: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Status and body of an answer: JSON, or text."""
        replies = Replies()
        headers = {b"content-type": content_type.encode()} if body else {}
        request = Request(method.encode(), target.encode(), headers, body, keep_alive=True)
        self.shop.handle(Exchange(replies, request, bytes(16), 0.0, last=False))
        with trio.fail_after(2):
            while not replies.taken:
                await trio.lowlevel.checkpoint()
        (answer,) = replies.taken
        text = answer.body.decode()
        return answer.head.status, json.loads(text) if text.startswith("{") else text


@pytest.fixture
async def counter() -> AsyncIterator[Counter]:
    """A shop of two orders at once."""
    client = Client()
    async with trio.open_nursery() as nursery:
        yield Counter(Shop(answers(KEYS), cast("TrioTurnout", client), nursery, 2), client)
        nursery.cancel_scope.cancel()


async def test_an_order_costs_what_the_shop_says(counter: Counter) -> None:
    """The page names a thing; price and description are the server's."""
    status, order = await counter.ask("POST", "/orders", b'{"good":"crossing"}')
    assert (status, order["clientSecret"]) == (200, "pi_1_secret_x")
    options = {"description": "Double slip crossing", "metadata": {"good": "crossing"}}
    assert counter.client.asked == [("create", (4950, "usd", options))]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"good":"moon"}', "application/json", 422),
        (b'{"good":"turnout","price":1}', "application/json", 422),
        (b'{"good":7}', "application/json", 422),
        (b"\xff", "application/json", 422),
        (b'{"good":"turnout"}' + b" " * 2_000, "application/json", 422),
        (b"good=turnout", "application/x-www-form-urlencoded", 415),
        (b'{"good":"turnout"}', "text/plain", 415),
    ],
)
async def test_what_is_no_order_reaches_nobody(
    counter: Counter, body: bytes, content_type: str, status: int
) -> None:
    """Nor does a form that another site has its visitors send."""
    assert (await counter.ask("POST", "/orders", body, content_type))[0] == status
    assert counter.client.asked == []


async def test_the_server_looks_for_itself(counter: Counter) -> None:
    """And tells no more than the page shows."""
    status, found = await counter.ask("GET", "/orders/pi_1")
    assert (status, found["status"]) == (200, "succeeded")
    assert found.keys() == {"order", "status", "amountInCents", "currency", "card"}
    assert counter.client.asked == [("retrieve", "pi_1")]


async def test_an_api_that_is_away_is_told_as_come_again(counter: Counter) -> None:
    """The customer gets no detail of it, and the next order is not refused for it."""

    async def lost() -> PaymentIntent:
        raise ConnectionLostError("no answer within 30 s")

    counter.client.answer = lost
    for _ in range(4):
        status, problem = await counter.ask("POST", "/orders", b'{"good":"turnout"}')
        assert (status, problem["detail"]) == (503, "try again")


async def test_orders_at_once_are_bounded(counter: Counter) -> None:
    """One more than that is refused at once, and asks nobody."""

    async def never() -> PaymentIntent:
        await trio.sleep_forever()
        return intent()

    counter.client.answer = never
    for _ in range(2):
        with trio.move_on_after(0.01):
            await counter.ask("POST", "/orders", b'{"good":"turnout"}')
    assert (await counter.ask("POST", "/orders", b'{"good":"turnout"}'))[0] == 503
    assert len(counter.client.asked) == 2


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/?locale=de", 200),
        ("GET", "/shop.js", 200),
        ("GET", "/shop.css", 200),
        ("POST", "/", 405),
        ("GET", "/orders", 405),
        ("GET", "/../shop.html", 404),
        ("GET", "/keys.json", 404),
        ("DELETE", "/orders/pi_1", 404),
    ],
)
async def test_the_shop_has_these_addresses(
    counter: Counter, method: str, target: str, status: int
) -> None:
    """And no others."""
    assert (await counter.ask(method, target))[0] == status


async def test_the_page_may_load_the_form_and_itself(counter: Counter) -> None:
    """Its policy names the API and nothing else; the secret key is nowhere."""
    _, text = await counter.ask("GET", "/")
    assert 'data-key="pk_test_shop"' in text
    assert 'src="http://127.0.0.1:8080/turnout.js"' in text
    assert all(good.name in text for good in GOODS.values())
    pages = answers(KEYS)
    assert not any(b"sk_test" in answer.body for answer in pages.values())
    head = pages[b"/"].head.lines.decode()
    assert "script-src 'self' http://127.0.0.1:8080; " in head
    assert "frame-src http://127.0.0.1:8080; " in head
    assert "frame-ancestors 'none'" in head
