"""The blocking client on real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
import trustme

from tests.support.client_answers import EVENT, INTENT, INTENT_ID, KEYS, TRANSACTION
from tests.support.client_server import (
    DROP,
    STALL,
    Farewell,
    ScriptedServer,
    answer,
    chunked,
    scripted_server,
)
from turnout_client import Card, ConnectionLostError, NotFoundError, RetryPolicy, Turnout

CARD = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="123")
HASTY = RetryPolicy(backoff_s=0.001)
ONCE = RetryPolicy(tries_max=1)
TWICE = RetryPolicy(tries_max=2, backoff_s=0.001)

Connect = Callable[..., Turnout]
connect: Connect = partial(Turnout, "pk_test_docs", "sk_test_docs", policy=HASTY)


def test_a_payment_from_creation_to_timeline() -> None:
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
    with scripted_server(*script) as server, connect(server.url) as turnout:
        intent = turnout.create_payment_intent(2499, "usd", description="Order #1234")
        transaction = turnout.charge(intent, CARD)
        final = turnout.wait(intent)
        events = turnout.events(final)
        page = turnout.list_payment_intents(limit=1)
    assert (intent.status, transaction.status, final.status) == ("created", "pending", "succeeded")
    assert (len(events), len(page.intents)) == (1, 1)
    assert server.connections == 1
    assert CARD.number.encode() not in b"".join(server.requests)


def test_what_follows_a_charge() -> None:
    """Each call is one request, answered with its transaction."""
    script = [
        answer(KEYS),
        answer({**TRANSACTION, "type": "verification", "amountInCents": 0}),
        answer({**TRANSACTION, "type": "capture", "finalCapture": False}),
        answer({**TRANSACTION, "type": "cancel"}),
        answer({**TRANSACTION, "type": "refund", "status": "pending"}, 202, "Retry-After: 1"),
    ]
    with scripted_server(*script) as server, connect(server.url) as turnout:
        done = [
            turnout.verify(INTENT_ID, CARD),
            turnout.capture(INTENT_ID, 500, final=False),
            turnout.cancel(INTENT_ID),
            turnout.refund(INTENT_ID),
        ]
    assert [transaction.type for transaction in done] == [
        "verification",
        "capture",
        "cancel",
        "refund",
    ]
    assert [transaction.is_final for transaction in done] == [True, True, True, False]
    assert server.connections == 1


def test_the_host_is_sent_as_it_is_signed() -> None:
    """Exactly one Host header, in lower case and with the port."""
    with scripted_server(answer(INTENT)) as server:
        url = server.url.replace("127.0.0.1", "LOCALHOST")
        with connect(url) as turnout:
            turnout.retrieve(INTENT_ID)
    assert server.requests[0].count(b"Host: ") == 1
    assert server.values("Host") == [url.removeprefix("http://").lower()]


def test_a_refusal_is_an_error() -> None:
    """The connection stays good."""
    with (
        scripted_server(answer({"code": "not_found"}, 404), answer(INTENT)) as server,
        connect(server.url) as turnout,
    ):
        with pytest.raises(NotFoundError):
            turnout.retrieve(INTENT_ID)
        assert turnout.retrieve(INTENT_ID).id == INTENT_ID
    assert server.connections == 1


@pytest.mark.parametrize(
    "fault",
    [DROP, b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\ncut", b"SSH-2.0-x\r\n\r\ncut"],
)
def test_a_broken_answer_is_tried_again(fault: bytes) -> None:
    """No answer, half of one, and none at all: the same request on a new connection."""
    with scripted_server(fault, answer(INTENT, 201)) as server, connect(server.url) as turnout:
        assert turnout.create_payment_intent(2499, "usd").id == INTENT_ID
    _assert_sent_twice(server)


def test_a_busy_server_is_asked_again() -> None:
    """On the same connection, signed anew."""
    with (
        scripted_server(answer({}, 503, "Retry-After: 0"), answer(INTENT, 201)) as server,
        connect(server.url) as turnout,
    ):
        turnout.create_payment_intent(2499, "usd")
    _assert_sent_twice(server)
    assert server.connections == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_connection_closed_between_calls_is_replaced(*, announced: bool) -> None:
    """Whether the server has said so, or is just gone."""
    first = answer(INTENT, 200, "Connection: close") if announced else answer(INTENT)
    script = [first, answer(INTENT)] if announced else [first, DROP, answer(INTENT)]
    with scripted_server(*script) as server, connect(server.url) as turnout:
        assert turnout.retrieve(INTENT_ID) == turnout.retrieve(INTENT_ID)
    assert server.connections == 2


def test_a_server_that_does_not_answer_is_given_up() -> None:
    """After the time-out; what became of the request is unknown."""
    with scripted_server(STALL) as server:
        with (
            connect(server.url, policy=ONCE, timeout_s=0.05) as turnout,
            pytest.raises(ConnectionLostError, match="timed out") as raised,
        ):
            turnout.create_payment_intent(2499, "usd", idempotency_key="order-1")
        assert raised.value.idempotency_key == "order-1"


def test_a_server_that_is_not_there_is_given_up() -> None:
    """Nobody listens on the port."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, so that nobody else listens there
        with (
            connect(f"http://127.0.0.1:{nobody.getsockname()[1]}") as turnout,
            pytest.raises(ConnectionLostError, match=r"refused.*after 5 tries"),
        ):
            turnout.retrieve(INTENT_ID)


def test_connections_that_the_server_has_closed_cost_one_try_together() -> None:
    """After a burst and a pause none of those that were kept is any good."""
    burst = [Farewell(answer(INTENT))] * 6
    together = threading.Barrier(len(burst))

    def retrieve(turnout: Turnout) -> None:
        together.wait()
        for _ in burst:  # a late one meets those that others have left, each of them once
            with suppress(ConnectionLostError):
                turnout.retrieve(INTENT_ID)
                return
        pytest.fail("more connections were dead than had been made")

    with scripted_server(*burst, answer(INTENT)) as server:
        with connect(server.url, policy=TWICE) as turnout:
            with ThreadPoolExecutor(len(burst)) as threads:
                list(threads.map(retrieve, [turnout] * len(burst)))
            assert turnout.retrieve(INTENT_ID).id == INTENT_ID
        assert server.script == []


def test_tls_is_verified() -> None:
    """A server of the right authority is spoken to, another one is not."""
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    right, wrong = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(right)
    stranger.configure_trust(wrong)
    with scripted_server(answer(INTENT), tls=context) as server:
        with connect(server.url, tls=right) as turnout:
            assert turnout.retrieve(INTENT_ID).id == INTENT_ID
        with (
            connect(server.url, tls=wrong, policy=ONCE) as turnout,
            pytest.raises(ConnectionLostError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            turnout.retrieve(INTENT_ID)


def _assert_sent_twice(server: ScriptedServer) -> None:
    """Same body and key, another nonce."""
    assert len(server.requests) == 2
    assert len(set(server.bodies())) == 1
    assert len(set(server.values("Idempotency-Key"))) == 1
    assert len(set(server.values("X-Request-Nonce"))) == 2
