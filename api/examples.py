"""One payment as the OpenAPI document tells it: what is sent, and what is answered.

Every example is a record of the type that it stands for, so it cannot have other members; a test
holds each to its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import structs

from api import requests, resources, webhook_resources
from api import transaction_requests as bodies
from api.errors import CATALOG, FieldProblem, Problem, document
from api.route import Route

Examples = Mapping[str, Any]

_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 55_309, tzinfo=UTC)
_INTENT_ID: Final = "pi_0351u79db2uVtjNqvEEbaq"
_EVENT_ID: Final = "evt_6m6LMvQYQNyD5AyifuLxWR"
_ENDPOINT_ID: Final = "we_0351u79p1Yk3tQm8VxNc2s"
_REQUEST_ID: Final = "f30a8f1a0886d1b09abf69ea0f69d855"
_CIPHERTEXT: Final = "v1.3vNMky2BYyw.NveVSao8JxQPh-8fwS4m9qKFL47FVe81PwTgZQoQ1VGu"
_SIGNED_WITH: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_URL: Final = "https://shop.example/turnout"


_CHARGED: Final = resources.Transaction(
    id="txn_0351u79fFmAzikMyPrtjV9",
    payment_intent=_INTENT_ID,
    type="charge",
    status="succeeded",
    amount_in_cents=2499,
    currency="usd",
    final_capture=None,
    decline_code=None,
    advice=None,
    response_code="00",
    approval_code="A1B2C3",
    card=resources.Card(brand="visa", last4="4242", exp_month=12, exp_year=2030),
    created_at=_AT + timedelta(milliseconds=46),
    updated_at=_AT + timedelta(milliseconds=255),
)
_DECLINED: Final = structs.replace(
    _CHARGED,
    status="failed",
    decline_code="insufficient_funds",
    advice="retry_later",
    response_code="51",
    approval_code=None,
    card=resources.Card(brand="visa", last4="9995", exp_month=12, exp_year=2030),
)
_IN_DOUBT: Final = structs.replace(
    _CHARGED, status="pending_verification", response_code=None, approval_code=None
)
_CREATED: Final = resources.PaymentIntent(
    id=_INTENT_ID,
    amount_in_cents=2499,
    currency="usd",
    description="Order #1234",
    status="created",
    capture_method="automatic",
    amount_capturable=0,
    amount_captured=0,
    amount_refunded=0,
    client_secret=f"{_INTENT_ID}_secret_GkTPlj3Zz2cQJ0yVb1wq5A",
    merchant_reference="order-1234",
    metadata={"tier": "gold"},
    last_error=None,
    latest_transaction=None,
    amount_disputed=0,
    allow_partial_authorization=False,
    capture_before=None,
    cancel_requested=False,
    version=1,
    created_at=_AT,
    updated_at=_AT,
)
_PAID: Final = structs.replace(
    _CREATED,
    status="succeeded",
    amount_captured=2499,
    client_secret=msgspec.UNSET,
    latest_transaction=_CHARGED,
    version=3,
    updated_at=_CHARGED.updated_at,
)
_REDUCED: Final = resources.ReducedPaymentIntent(
    id=_INTENT_ID,
    amount_in_cents=2499,
    currency="usd",
    description="Order #1234",
    status="failed",
    last_error=resources.LastError(
        code="card_declined",
        decline_code="insufficient_funds",
        advice="retry_later",
        detail="The card was declined.",
    ),
)
_HAPPENED: Final = resources.TimelineEvent(
    id=_EVENT_ID,
    sequence=3,
    type="payment_intent.succeeded",
    actor="network:vsim",
    at=_CHARGED.updated_at,
    transaction=_CHARGED.id,
    data={
        "transactionType": "charge",
        "transactionStatus": "succeeded",
        "amountInCents": 2499,
        "currency": "usd",
        "network": "vsim",
        "responseCode": "00",
    },
)
_BALANCE: Final = resources.CurrencyBalance(
    currency="usd",
    amount_pending=7497,
    amount_available=0,
    amount_reserved=0,
    amount_disputed=0,
    amount_in_transit=0,
    amount_owed=0,
    amount_held=2499,
)
_KEY: Final = resources.CaptureKey(
    kid="3vNMky2BYyw",
    suite=1,
    public_key="j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8",
    state="active",
    not_after=_AT + timedelta(days=2),
)
_EVENT: Final = webhook_resources.Event(
    id=_EVENT_ID,
    type="payment_intent.succeeded",
    timestamp=_CHARGED.updated_at,
    sequence=3,
    api_version=webhook_resources.API_VERSION,
    data=_PAID,
)
_ENDPOINT: Final = webhook_resources.WebhookEndpoint(
    id=_ENDPOINT_ID,
    url=_URL,
    description="orders",
    event_types=["payment_intent.succeeded"],
    api_version=webhook_resources.API_VERSION,
    status="enabled",
    disabled_reason=None,
    previous_secret_until=None,
    created_at=_AT,
    updated_at=_AT,
)
_WITH_SECRET: Final = structs.replace(_ENDPOINT, secret=_SIGNED_WITH)
_DELIVERY: Final = webhook_resources.WebhookDelivery(
    id="whd_0351u79r8Dq2mVbn5TzQ4k",
    endpoint=_ENDPOINT_ID,
    event=_EVENT_ID,
    event_type="payment_intent.succeeded",
    status="delivered",
    try_count=1,
    next_try_at=None,
    created_at=_CHARGED.updated_at,
    tries=[
        webhook_resources.WebhookTry(
            number=1,
            started_at=_CHARGED.updated_at + timedelta(milliseconds=40),
            duration_ms=31,
            status_code=200,
            reason=None,
        )
    ],
)

# By what they are named; of a route's answer, those whose type it has.
_ANSWERS: Final[tuple[tuple[str, Any], ...]] = (
    ("paid", _PAID),
    ("declined", _REDUCED),
    ("succeeded", _CHARGED),
    ("declined", _DECLINED),
    ("page", resources.PaymentIntentList(data=[_PAID], next_cursor=None)),
    ("timeline", resources.Timeline(data=[_HAPPENED])),
    ("balance", resources.Balance(data=[_BALANCE])),
    ("keys", resources.CaptureKeys(keys=[_KEY])),
    ("page", webhook_resources.EventList(data=[_EVENT], next_cursor=None)),
    ("endpoint", _ENDPOINT),
    ("page", webhook_resources.WebhookEndpointList(data=[_ENDPOINT], next_cursor=None)),
    ("deleted", webhook_resources.DeletedWebhookEndpoint(id=_ENDPOINT_ID, deleted=True)),
    ("delivered", _DELIVERY),
    ("page", webhook_resources.WebhookDeliveryList(data=[_DELIVERY], next_cursor=None)),
    ("healthy", resources.Health(status="ok", checks={})),
)
# Where a status says more than the type.
_OF_STATUS: Final[Mapping[tuple[str, int], tuple[tuple[str, Any], ...]]] = {
    ("createPaymentIntent", 201): (("created", _CREATED),),
    ("createTransaction", 202): (("inDoubt", _IN_DOUBT),),
    ("createWebhookEndpoint", 201): (("created", _WITH_SECRET),),
    ("rollWebhookSecret", 200): (("rolled", _WITH_SECRET),),
    ("getReadiness", 200): (("ready", resources.Health(status="ok", checks={"ledger": True})),),
    ("getReadiness", 503): (
        ("unready", resources.Health(status="unavailable", checks={"ledger": False})),
    ),
}
_BODIES: Final[Mapping[str, tuple[tuple[str, Any], ...]]] = {
    "createPaymentIntent": (
        ("least", requests.CreateIntent(amount_in_cents=2499, currency="usd")),
        (
            "held",
            requests.CreateIntent(
                amount_in_cents=2499,
                currency="eur",
                description="Order #1234",
                capture_method="manual",
                merchant_reference="order-1234",
                metadata={"tier": "gold"},
            ),
        ),
    ),
    "createTransaction": (
        ("charge", bodies.ChargeIntent(card=bodies.SealedCard(ciphertext=_CIPHERTEXT))),
        ("capture", bodies.CaptureIntent(amount_in_cents=1999)),
        ("cancel", bodies.CancelIntent()),
        ("refund", bodies.RefundIntent(amount_in_cents=500)),
        ("verify", bodies.VerifyIntent(card=bodies.SealedCard(ciphertext=_CIPHERTEXT))),
    ),
    "createWebhookEndpoint": (
        (
            "succeeded",
            webhook_resources.CreateWebhookEndpoint(
                url=_URL, event_types=["payment_intent.succeeded"]
            ),
        ),
    ),
    "updateWebhookEndpoint": (("pause", webhook_resources.UpdateWebhookEndpoint(enabled=False)),),
    "rollWebhookSecret": (
        ("overlap", webhook_resources.RollWebhookSecret(overlap_seconds=86_400)),
    ),
    "replayWebhookDelivery": (("replay", webhook_resources.ReplayWebhookDelivery()),),
}
# A place in a body or a query for codes whose problems name one.
_FAULTS: Final[Mapping[str, FieldProblem]] = {
    fault.code: fault
    for fault in (
        FieldProblem("/amountInCents", "amount_out_of_range", "must be an integer from 1 to …"),
        FieldProblem("/currency", "unknown_currency", "must be an ISO 4217 code in lower case"),
        FieldProblem("/amount", "unknown_field", "amount is not known here"),
        FieldProblem("", "missing_field", "currency is missing"),
        FieldProblem("/currency", "invalid_type", "must be a string, not an integer"),
        FieldProblem("/captureMethod", "invalid_value", "must be automatic or manual"),
        FieldProblem("/metadata/card", "raw_card_data_refused", "card data in the clear"),
        FieldProblem("/merchantReference", "merchant_reference_in_use", _INTENT_ID),
        FieldProblem(
            msgspec.UNSET, "invalid_query", "must be an integer from 1 to 100", parameter="limit"
        ),
    )
}


def of_body(route: Route) -> Examples:
    """What may be sent to a route, by name."""
    return {name: {"value": _plain(value)} for name, value in _BODIES.get(route.name, ())}


def of_answer(route: Route, status: int) -> Examples:
    """What a route may answer with a status, by name."""
    found = _OF_STATUS.get((route.name, status))
    if found is None:
        types = route.answers[status]
        found = tuple((name, value) for name, value in _ANSWERS if type(value) in types)
    return {name: {"value": _plain(value)} for name, value in found}


def of_problems() -> Examples:
    """A problem of each code, by code."""
    return {
        code: {"summary": definition.title, "value": msgspec.json.decode(_problem(code))}
        for code, definition in CATALOG.items()
    }


def of_event() -> Any:
    """What is sent to a webhook endpoint."""
    return _plain(_EVENT)


def _problem(code: str) -> bytes:
    fault = _FAULTS.get(code)
    if fault is None:
        return document(Problem(code), _REQUEST_ID)
    return document(Problem(code, fault.detail, (fault,)), _REQUEST_ID)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
