"""The client for Trio on real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial

import pytest
import trio
import trustme

from tests.support.client_answers import EVENT, INTENT, INTENT_ID, KEYS, TRANSACTION
from tests.support.client_server import DROP, STALL, Farewell, answer, chunked, scripted_server
from turnout_client import Card, ConnectionLostError, NotFoundError, RetryPolicy
from turnout_client.on_trio import TrioTurnout

CARD = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="123")
HASTY = RetryPolicy(backoff_s=0.001)
ONCE = RetryPolicy(tries_max=1)
TWICE = RetryPolicy(tries_max=2, backoff_s=0.001)

Connect = Callable[..., TrioTurnout]
connect: Connect = partial(TrioTurnout, "pk_test_docs", "sk_test_docs", policy=HASTY)


async def test_a_payment_from_creation_to_timeline() -> None:
    """Five calls and the keys, all on one connection."""
    script = [
        answer({**INTENT, "status": "created", "clientSecret": "s"}, 201),
        answer(KEYS),
        answer({**TRANSACTION, "status": "pending"}, 202, "Retry-After: 1"),
        answer({**INTENT, "status": "processing"}),
        answer(INTENT),
        chunked({"data": [EVENT]}),
        answer({"data": [INTENT], "nextCursor": None}),
    ]
    with scripted_server(*script) as server:
        async with connect(server.url) as turnout:
            intent = await turnout.create_payment_intent(2499, "usd", description="Order #1234")
            sealed = await turnout.seal(intent, CARD)
            transaction = await turnout.charge(intent, sealed)
            final = await turnout.wait(intent)
            events = await turnout.events(final)
            page = await turnout.list_payment_intents(limit=1)
    assert (intent.status, transaction.status, final.status) == ("created", "pending", "succeeded")
    assert (len(events), len(page.intents)) == (1, 1)
    assert server.connections == 1
    assert CARD.number.encode() not in b"".join(server.requests)


async def test_what_follows_a_charge() -> None:
    """Each call is one request, answered with its transaction."""
    script = [
        answer(KEYS),
        answer({**TRANSACTION, "type": "verification", "amountInCents": 0}),
        answer({**TRANSACTION, "type": "capture", "finalCapture": False}),
        answer({**TRANSACTION, "type": "cancel"}),
        answer({**TRANSACTION, "type": "refund", "status": "pending"}, 202, "Retry-After: 1"),
    ]
    with scripted_server(*script) as server:
        async with connect(server.url) as turnout:
            done = [
                await turnout.verify(INTENT_ID, CARD),
                await turnout.capture(INTENT_ID, 500, final=False),
                await turnout.cancel(INTENT_ID),
                await turnout.refund(INTENT_ID),
            ]
    assert [transaction.type for transaction in done] == [
        "verification",
        "capture",
        "cancel",
        "refund",
    ]
    assert [transaction.is_final for transaction in done] == [True, True, True, False]
    assert server.connections == 1


async def test_a_refusal_is_an_error() -> None:
    """The connection stays good."""
    with scripted_server(answer({"code": "not_found"}, 404), answer(INTENT)) as server:
        async with connect(server.url) as turnout:
            with pytest.raises(NotFoundError):
                await turnout.retrieve(INTENT_ID)
            assert (await turnout.retrieve(INTENT_ID)).id == INTENT_ID
    assert server.connections == 1


@pytest.mark.parametrize(
    "fault",
    [DROP, b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\ncut", b"SSH-2.0-x\r\n\r\ncut"],
)
async def test_a_broken_answer_is_tried_again(fault: bytes) -> None:
    """The same body and key under another nonce, on a new connection."""
    with scripted_server(fault, answer(INTENT, 201)) as server:
        async with connect(server.url) as turnout:
            assert (await turnout.create_payment_intent(2499, "usd")).id == INTENT_ID
    assert (server.connections, len(set(server.bodies()))) == (2, 1)
    assert len(set(server.values("Idempotency-Key"))) == 1
    assert len(set(server.values("X-Request-Nonce"))) == 2


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    """After the time-out of the whole request."""
    with scripted_server(STALL) as server:
        async with connect(server.url, policy=ONCE, timeout_s=0.05) as turnout:
            with pytest.raises(ConnectionLostError, match=r"no answer within 0\.05 s") as raised:
                await turnout.create_payment_intent(2499, "usd", idempotency_key="order-1")
    assert raised.value.idempotency_key == "order-1"


async def test_a_server_that_is_not_there_is_given_up() -> None:
    """Nobody listens on the port."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, so that nobody else listens there
        async with connect(f"http://127.0.0.1:{nobody.getsockname()[1]}") as turnout:
            with pytest.raises(ConnectionLostError, match="after 5 tries"):
                await turnout.retrieve(INTENT_ID)


async def test_a_canceled_call_leaves_the_client_useful() -> None:
    """Its connection is closed, for half an answer may be on it; the next call opens another."""
    with scripted_server(STALL, answer(INTENT)) as server:
        async with connect(server.url) as turnout:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(turnout.retrieve, INTENT_ID)
                with trio.fail_after(10):
                    while not server.requests:
                        await trio.sleep(0.001)
                nursery.cancel_scope.cancel()
            assert (await turnout.retrieve(INTENT_ID)).id == INTENT_ID
    assert server.connections == 2


async def test_connections_are_bounded() -> None:
    """Ten tasks share two connections."""
    with scripted_server(*([answer(INTENT)] * 10)) as server:
        async with (
            connect(server.url, connections_max=2) as turnout,
            trio.open_nursery() as nursery,
        ):
            for _ in range(10):
                nursery.start_soon(turnout.retrieve, INTENT_ID)
    assert server.open_peak <= 2
    assert len(server.requests) == 10


async def test_connections_that_the_server_has_closed_cost_one_try_together() -> None:
    """After a burst and a pause none of those that were kept is any good."""
    burst = [Farewell(answer(INTENT))] * 6
    with scripted_server(*burst, answer(INTENT)) as server:
        async with connect(server.url, policy=TWICE) as turnout:
            async with trio.open_nursery() as nursery:
                for _ in burst:
                    nursery.start_soon(turnout.retrieve, INTENT_ID)
            assert (await turnout.retrieve(INTENT_ID)).id == INTENT_ID
    assert server.connections == len(burst) + 1


async def test_tls_is_verified() -> None:
    """A server of the right authority is spoken to, another one is not."""
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    right, wrong = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(right)
    stranger.configure_trust(wrong)
    with scripted_server(answer(INTENT), tls=context) as server:
        async with connect(server.url, tls=right) as turnout:
            assert (await turnout.retrieve(INTENT_ID)).id == INTENT_ID
        async with connect(server.url, tls=wrong, policy=ONCE) as turnout:
            with pytest.raises(ConnectionLostError, match="CERTIFICATE_VERIFY_FAILED"):
                await turnout.retrieve(INTENT_ID)
