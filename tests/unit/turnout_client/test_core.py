"""Every call as the steps it takes, with a server that is a list of answers."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from tests.support.client_answers import EVENT, INTENT, INTENT_ID, KEYS, TRANSACTION
from turnout_client.card import Card
from turnout_client.core import Core
from turnout_client.errors import (
    AuthenticationError,
    ConflictError,
    ConnectionLostError,
    InvalidRequestError,
    UnavailableError,
    WaitTimeoutError,
)
from turnout_client.models import Transaction
from turnout_client.protocol import Address, Answer, Lost, Request, RetryPolicy, Sleep, Steps
from turnout_client.seal import SealError
from turnout_client.sign import canonical_string, signature

CARD = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="123")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUSY = Answer(status=503, headers={"retry-after": "2"}, body=b"{}")
LOST = Lost("ConnectionResetError: reset by peer")


def ok(value: dict[str, Any], status: int = 200) -> Answer:
    """A successful answer."""
    return Answer(status=status, headers={}, body=json.dumps(value).encode())


def problem(status: int, code: str) -> Answer:
    """A refusal."""
    return Answer(status=status, headers={}, body=json.dumps({"code": code}).encode())


class Stage:
    """A core with clocks of its own; takes steps and notes them."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.requests: list[Request] = []
        self.pauses_s: list[float] = []
        self._drawn = 0
        self.core = Core(
            publishable_key="pk_test_docs",
            secret_key="sk_test_docs",
            address=Address.parse("http://127.0.0.1:8080"),
            policy=RetryPolicy(),
            now=lambda: START + timedelta(seconds=self.elapsed_s),
            monotonic_s=lambda: self.elapsed_s,
            random=self._random,
        )

    def _random(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(count, "little")

    def play(self, steps: Steps[Any], answers: Sequence[Answer | Lost]) -> Any:
        """Take the steps; every answer must be used."""
        left = list(answers)
        outcome: Answer | Lost | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                assert left == []
                return done.value
            if isinstance(step, Sleep):
                self.pauses_s.append(step.duration_s)
                self.elapsed_s += step.duration_s
                outcome = None
            else:
                self.requests.append(step)
                outcome = left.pop(0)


@pytest.fixture
def stage() -> Stage:
    """A client in test mode at 03:04:05."""
    return Stage()


def _headers(request: Request) -> dict[str, str]:
    return dict(request.headers)


def _assert_signed(request: Request) -> None:
    headers = _headers(request)
    canonical = canonical_string(
        publishable_key="pk_test_docs",
        timestamp=headers["X-Request-Timestamp"],
        nonce=headers["X-Request-Nonce"],
        method=request.method,
        host=headers["Host"],
        target=request.target,
        content_type=headers.get("Content-Type", ""),
        idempotency_key=headers.get("Idempotency-Key", ""),
        body=request.body,
    )
    assert headers["X-Signature"] == signature("sk_test_docs", canonical)
    assert headers["Authorization"] == "Bearer pk_test_docs"


def _open(sealed: str) -> bytes:
    """Open by the library alone, in the context that the server would build."""
    version, kid, text = sealed.split(".")
    parts = ["turnout-card-v1", kid, "test", "pk_test_docs", INTENT_ID]
    info = b"".join(len(part).to_bytes(2, "big") + part.encode() for part in parts)
    private_key = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    assert version == "v1"
    return suite.decrypt(urlsafe_b64decode(text + "=="), private_key, info)


def test_an_intent_is_created(stage: Stage) -> None:
    """A signed POST with every option under its name in JSON."""
    steps = stage.core.create_payment_intent(
        2499, "usd", {"description": "Größe 7", "merchant_reference": "order-1"}, "order-1234"
    )
    intent = stage.play(steps, [ok(INTENT, 201)])
    [request] = stage.requests
    assert (request.method, request.target) == ("POST", "/payment-intents")
    assert json.loads(request.body) == {
        "amountInCents": 2499,
        "currency": "usd",
        "description": "Größe 7",
        "merchantReference": "order-1",
    }
    assert _headers(request)["Idempotency-Key"] == "order-1234"
    assert _headers(request)["Content-Length"] == str(len(request.body))
    assert _headers(request)["X-Request-Timestamp"] == "2026-01-02T03:04:05Z"
    _assert_signed(request)
    assert intent.id == INTENT_ID


def test_a_key_is_made_where_none_is_given(stage: Stage) -> None:
    """Every POST carries one, and no two calls the same."""
    for _ in range(2):
        stage.play(stage.core.create_payment_intent(1, "usd", {}, None), [ok(INTENT, 201)])
    keys = {_headers(request)["Idempotency-Key"] for request in stage.requests}
    assert len(keys) == 2
    assert all(len(key) == 32 for key in keys)


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\nb"])
def test_a_bad_key_is_refused_before_anything_is_sent(stage: Stage, key: str) -> None:
    """1 to 255 printable ASCII characters."""
    with pytest.raises(ValueError, match="idempotency_key"):
        stage.play(stage.core.create_payment_intent(1, "usd", {}, key), [])


@pytest.mark.parametrize(
    ("publishable_key", "secret_key", "reason"),
    [
        ("sk_test_a", "sk_test_a", "publishable_key: must begin"),
        ("pk_test_a", "pk_test_a", "secret_key: must begin"),
        ("pk_test_a", "sk_live_a", "another mode"),
    ],
)
def test_keys_in_each_others_place_are_refused(
    publishable_key: str, secret_key: str, reason: str
) -> None:
    """Before a secret key could travel as a publishable one; the error does not show it."""
    with pytest.raises(ValueError, match=reason) as raised:
        Core(
            publishable_key=publishable_key,
            secret_key=secret_key,
            address=Address.parse("http://127.0.0.1"),
            policy=RetryPolicy(),
            now=lambda: START,
            monotonic_s=lambda: 0.0,
            random=bytes,
        )
    assert "_a" not in str(raised.value)


def test_an_intent_is_read(stage: Stage) -> None:
    """A signed GET without body, type or key."""
    assert stage.play(stage.core.retrieve(INTENT_ID), [ok(INTENT)]).status == "succeeded"
    [request] = stage.requests
    assert (request.method, request.target) == ("GET", f"/payment-intents/{INTENT_ID}")
    assert not {"Content-Type", "Content-Length", "Idempotency-Key"} & _headers(request).keys()
    _assert_signed(request)


def test_an_id_cannot_lead_elsewhere(stage: Stage) -> None:
    """Whatever is given for an id stays one segment of the path."""
    stage.play(stage.core.retrieve("../keys?x#y"), [ok(INTENT)])
    assert stage.requests[0].target == "/payment-intents/..%2Fkeys%3Fx%23y"


def test_intents_are_listed(stage: Stage) -> None:
    """Filters stand in the query under their names in JSON."""
    steps = stage.core.list_payment_intents(
        {"limit": 2, "status": ["failed", "canceled"], "created_after": START, "after": "a+b"}
    )
    page = stage.play(steps, [ok({"data": [INTENT], "nextCursor": None})])
    assert stage.requests[0].target == (
        "/payment-intents?limit=2&status=failed%2Ccanceled"
        "&createdAfter=2026-01-02T03%3A04%3A05Z&after=a%2Bb"
    )
    assert len(page.intents) == 1
    _assert_signed(stage.requests[0])
    steps = stage.core.list_payment_intents(
        {"amount_min": 5, "merchant_reference": "a-1", "metadata": {"tier": "gold & more", "x": ""}}
    )
    stage.play(steps, [ok({"data": [], "nextCursor": None})])
    assert stage.requests[1].target == (
        "/payment-intents?amountMin=5&merchantReference=a-1"
        "&metadata%5Btier%5D=gold%20%26%20more&metadata%5Bx%5D="
    )


def test_a_timeline_is_read(stage: Stage) -> None:
    """Oldest first, as the server sends it."""
    [event] = stage.play(stage.core.events(INTENT_ID), [ok({"data": [EVENT]})])
    assert stage.requests[0].target == f"/payment-intents/{INTENT_ID}/events"
    assert event.actor == "merchant"


def test_a_balance_is_read(stage: Stage) -> None:
    """Signed like every request of a server; nothing booked is no balance."""
    assert stage.play(stage.core.balance(), [ok({"data": []})]) == ()
    assert stage.requests[0].target == "/balance"
    _assert_signed(stage.requests[0])


def test_a_charge_seals_the_card_for_its_intent(stage: Stage) -> None:
    """Keys are fetched without credentials; the ciphertext opens to the card."""
    transaction = stage.play(
        stage.core.charge(INTENT_ID, CARD, "charge-1"), [ok(KEYS), ok(TRANSACTION)]
    )
    keys, charge = stage.requests
    assert keys.target == "/keys"
    assert not {"Authorization", "X-Signature"} & _headers(keys).keys()
    body = json.loads(charge.body)
    assert (charge.target, body["type"]) == (
        f"/payment-intents/{INTENT_ID}/transactions",
        "charge",
    )
    assert _open(body["card"]["ciphertext"]).startswith(
        b"\x01\x104242424242424242\x0212\x042030\x03123"
    )
    assert CARD.number not in repr(stage.requests) + charge.body.decode()
    _assert_signed(charge)
    assert transaction.status == "succeeded"


def test_a_verification_brings_a_card_too(stage: Stage) -> None:
    """Sealed like that of a charge, and sealed again where the key has expired."""
    expired = problem(422, "card_key_expired")
    verified = ok({**TRANSACTION, "type": "verification", "amountInCents": 0})
    steps = stage.core.verify(INTENT_ID, CARD, "verify-1")
    transaction = stage.play(steps, [ok(KEYS), expired, ok(KEYS), verified])
    bodies = [json.loads(stage.requests[place].body) for place in (1, 3)]
    assert [body["type"] for body in bodies] == ["verify", "verify"]
    assert _open(bodies[1]["card"]["ciphertext"]).startswith(b"\x01\x104242424242424242")
    assert (transaction.type, transaction.amount_in_cents) == ("verification", 0)


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (
            lambda core: core.capture(INTENT_ID, None, "k", final=True),
            {"type": "capture", "finalCapture": True},
        ),
        (
            lambda core: core.capture(INTENT_ID, 500, "k", final=False),
            {"type": "capture", "finalCapture": False, "amountInCents": 500},
        ),
        (lambda core: core.cancel(INTENT_ID, "k"), {"type": "cancel"}),
        (lambda core: core.refund(INTENT_ID, None, "k"), {"type": "refund"}),
        (
            lambda core: core.refund(INTENT_ID, 1, "k"),
            {"type": "refund", "amountInCents": 1},
        ),
    ],
)
def test_what_follows_a_charge(
    stage: Stage, call: Callable[[Core], Steps[Transaction]], body: dict[str, Any]
) -> None:
    """One signed POST under the key that was given; no amount is all that remains."""
    answer = ok({**TRANSACTION, "type": body["type"], "finalCapture": body.get("finalCapture")})
    transaction = stage.play(call(stage.core), [answer])
    [request] = stage.requests
    assert request.target == f"/payment-intents/{INTENT_ID}/transactions"
    assert json.loads(request.body) == body
    assert _headers(request)["Idempotency-Key"] == "k"
    _assert_signed(request)
    assert transaction.final_capture == body.get("finalCapture")


def test_an_amount_of_nothing_is_not_everything(stage: Stage) -> None:
    """Zero goes to the server as zero, which refuses it."""
    with pytest.raises(InvalidRequestError, match="amount_out_of_range"):
        stage.play(stage.core.refund(INTENT_ID, 0, None), [problem(422, "amount_out_of_range")])
    assert json.loads(stage.requests[0].body)["amountInCents"] == 0


def test_waiting_covers_a_refund(stage: Stage) -> None:
    """The intent stays succeeded; its latest transaction tells when the refund has ended."""
    under_way = {**INTENT, "latestTransaction": {**TRANSACTION, "status": "pending_verification"}}
    intent = stage.play(stage.core.wait(INTENT_ID, 60.0), [ok(under_way), ok(INTENT)])
    assert intent.latest_transaction.is_final
    assert len(stage.pauses_s) == 1


def test_the_servers_keys_are_kept_for_five_minutes(stage: Stage) -> None:
    """Fetched again after that, not before."""
    stage.play(stage.core.charge(INTENT_ID, CARD, None), [ok(KEYS), ok(TRANSACTION)])
    stage.elapsed_s = 299.0
    stage.play(stage.core.charge(INTENT_ID, CARD, None), [ok(TRANSACTION)])
    stage.elapsed_s = 301.0
    stage.play(stage.core.charge(INTENT_ID, CARD, None), [ok(KEYS), ok(TRANSACTION)])


def test_an_expired_key_is_replaced_once(stage: Stage) -> None:
    """The card is sealed anew, under the same idempotency key."""
    expired = problem(422, "card_key_expired")
    steps = stage.core.charge(INTENT_ID, CARD, "charge-1")
    stage.play(steps, [ok(KEYS), expired, ok(KEYS), ok(TRANSACTION)])
    first, second = stage.requests[1], stage.requests[3]
    assert first.body != second.body
    assert _headers(second)["Idempotency-Key"] == "charge-1"
    with pytest.raises(InvalidRequestError, match="card_key_expired"):
        stage.play(stage.core.charge(INTENT_ID, CARD, None), [expired, ok(KEYS), expired])


def test_a_sealed_card_is_sent_as_it_is(stage: Stage) -> None:
    """The same call again is the same request, so the server can tell."""
    sealed = stage.play(stage.core.seal(INTENT_ID, CARD), [ok(KEYS)])
    for _ in range(2):
        stage.play(stage.core.charge(INTENT_ID, sealed, "charge-1"), [ok(TRANSACTION)])
    first, second = stage.requests[1:]
    assert first.body == second.body
    with pytest.raises(InvalidRequestError, match="card_key_expired"):
        stage.play(stage.core.charge(INTENT_ID, sealed, None), [problem(422, "card_key_expired")])


def test_a_card_that_cannot_be_one_is_not_sent(stage: Stage) -> None:
    """The error names the part and not its content."""
    card = Card(number="4242-4242", exp_month=12, exp_year=2030)
    with pytest.raises(SealError, match=r"^number: ") as raised:
        stage.play(stage.core.charge(INTENT_ID, card, None), [ok(KEYS)])
    assert "4242" not in str(raised.value)


@pytest.mark.parametrize("fault", [LOST, BUSY])
def test_a_retry_is_the_same_request_signed_anew(stage: Stage, fault: Answer | Lost) -> None:
    """Same body and idempotency key, new timestamp and nonce."""
    steps = stage.core.charge(INTENT_ID, CARD, None)
    stage.play(steps, [ok(KEYS), fault, fault, ok(TRANSACTION)])
    tries = stage.requests[1:]
    assert len({request.body for request in tries}) == 1
    assert len({_headers(request)["Idempotency-Key"] for request in tries}) == 1
    assert len({_headers(request)["X-Request-Nonce"] for request in tries}) == 3
    assert len({_headers(request)["X-Signature"] for request in tries}) == 3
    for request in tries:
        _assert_signed(request)
    if fault is BUSY:
        assert all(pause_s >= 2.0 for pause_s in stage.pauses_s)


def test_a_lost_connection_is_given_up_in_the_end(stage: Stage) -> None:
    """The error carries the key under which the request may be sent again."""
    with pytest.raises(ConnectionLostError, match=r"reset by peer.*5 tries") as raised:
        stage.play(stage.core.create_payment_intent(1, "usd", {}, "order-1"), [LOST] * 5)
    assert raised.value.idempotency_key == "order-1"
    assert len(stage.pauses_s) == 4


def test_a_busy_server_is_given_up_in_the_end(stage: Stage) -> None:
    """With its own last word."""
    with pytest.raises(UnavailableError) as raised:
        stage.play(stage.core.retrieve(INTENT_ID), [BUSY] * 5)
    assert raised.value.retry_after_s == 2.0


def test_a_refusal_is_raised_at_once(stage: Stage) -> None:
    """Nothing is sent twice in vain."""
    with pytest.raises(ConflictError, match="operation_in_progress"):
        stage.play(
            stage.core.charge(INTENT_ID, CARD, None),
            [ok(KEYS), problem(409, "operation_in_progress")],
        )
    assert stage.pauses_s == []


def test_a_transaction_that_is_not_final_is_a_result(stage: Stage) -> None:
    """202 means: accepted, ask again."""
    pending = ok({**TRANSACTION, "status": "pending_verification"}, 202)
    transaction = stage.play(stage.core.charge(INTENT_ID, CARD, None), [ok(KEYS), pending])
    assert transaction.status == "pending_verification"


def test_waiting_asks_until_the_intent_is_final(stage: Stage) -> None:
    """With pauses that grow."""
    waiting = [ok({**INTENT, "status": status}) for status in ("processing",) * 3]
    intent = stage.play(stage.core.wait(INTENT_ID, 60.0), [*waiting, ok(INTENT)])
    assert intent.status == "succeeded"
    assert stage.pauses_s == pytest.approx([0.1, 0.15, 0.225])


def test_waiting_ends_in_time(stage: Stage) -> None:
    """The last look is at the deadline; the error tells what it saw."""
    pending = ok({**INTENT, "status": "pending_verification"})
    with pytest.raises(WaitTimeoutError, match="still pending_verification") as raised:
        stage.play(stage.core.wait(INTENT_ID, 1.0), [pending] * 6)
    assert raised.value.status == "pending_verification"
    assert stage.elapsed_s == pytest.approx(1.0)


def refused_time(server_time: str) -> Answer:
    """A refusal of the time stamp, as in test mode."""
    body = {"code": "timestamp_outside_window", "serverTime": server_time}
    return Answer(status=401, headers={}, body=json.dumps(body).encode())


def test_a_request_signed_before_a_restart_is_signed_again(stage: Stage) -> None:
    """The clocks agree, so the server has restarted meanwhile: the same request, a new time."""
    answers = [refused_time("2026-01-02T03:04:06Z"), ok(INTENT, 201)]
    stage.play(stage.core.create_payment_intent(1, "usd", {}, "k"), answers)
    first, second = map(_headers, stage.requests)
    assert first["Idempotency-Key"] == second["Idempotency-Key"] == "k"
    assert first["X-Request-Nonce"] != second["X-Request-Nonce"]
    _assert_signed(stage.requests[1])


@pytest.mark.parametrize(
    "answer",
    [
        refused_time("2026-01-02T03:10:00Z"),
        refused_time("2026-01-02T02:59:00Z"),
        refused_time("noon"),
        refused_time("2026-01-02T03:04:06"),
        problem(401, "timestamp_outside_window"),
        problem(401, "signature_mismatch"),
        Answer(status=401, headers={}, body=b"<html>"),
    ],
)
def test_a_clock_that_is_wrong_is_not_tried_again(stage: Stage, answer: Answer) -> None:
    """Signing again would bring the same refusal."""
    with pytest.raises(AuthenticationError):
        stage.play(stage.core.create_payment_intent(1, "usd", {}, None), [answer])
