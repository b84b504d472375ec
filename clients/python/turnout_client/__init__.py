"""A merchant's client of a Turnout server. It imports nothing of the server.

    from turnout_client import Card, Turnout

    turnout = Turnout("pk_test_…", "sk_test_…", "http://127.0.0.1:8080")
    intent = turnout.create_payment_intent(2499, "usd", description="Order #1234")
    card = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="123")
    transaction = turnout.charge(intent, card)

`turnout_client.on_trio.TrioTurnout` is the same for programs on Trio.
"""

from __future__ import annotations

from turnout_client.blocking import Turnout
from turnout_client.card import Card
from turnout_client.errors import (
    APIError,
    AuthenticationError,
    ConflictError,
    ConnectionLostError,
    FieldFault,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TurnoutError,
    UnavailableError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from turnout_client.models import (
    Balance,
    CardSummary,
    LastError,
    PaymentIntent,
    PaymentIntentPage,
    TimelineEvent,
    Transaction,
)
from turnout_client.protocol import RetryPolicy
from turnout_client.seal import SealError, seal_card
from turnout_client.webhook_models import Event, Page, WebhookDelivery, WebhookEndpoint, WebhookTry
from turnout_client.webhooks import WebhookError, verify_webhook

__all__ = [
    "APIError",
    "AuthenticationError",
    "Balance",
    "Card",
    "CardSummary",
    "ConflictError",
    "ConnectionLostError",
    "Event",
    "FieldFault",
    "InvalidRequestError",
    "LastError",
    "NotFoundError",
    "Page",
    "PaymentIntent",
    "PaymentIntentPage",
    "PermissionDeniedError",
    "RateLimitedError",
    "RetryPolicy",
    "SealError",
    "ServerError",
    "TimelineEvent",
    "Transaction",
    "Turnout",
    "TurnoutError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookError",
    "WebhookTry",
    "seal_card",
    "verify_webhook",
]
