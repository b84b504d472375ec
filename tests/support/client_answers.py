"""Answers of a Turnout server, as its clients meet them."""

from __future__ import annotations

from typing import Any

INTENT_ID = "pi_0123456789abcdefghijkl"

TRANSACTION: dict[str, Any] = {
    "id": "txn_0123456789abcdefghijkl",
    "paymentIntent": INTENT_ID,
    "type": "charge",
    "status": "succeeded",
    "amountInCents": 2499,
    "currency": "usd",
    "finalCapture": None,
    "declineCode": None,
    "advice": None,
    "responseCode": "00",
    "approvalCode": "321000",
    "card": {"brand": "visa", "last4": "4242", "expMonth": 12, "expYear": 2030},
    "createdAt": "2026-01-02T03:04:05.123456Z",
    "updatedAt": "2026-01-02T03:04:06Z",
}
INTENT: dict[str, Any] = {
    "id": INTENT_ID,
    "amountInCents": 2499,
    "currency": "usd",
    "description": "Order #1234",
    "status": "succeeded",
    "captureMethod": "automatic",
    "amountCapturable": 0,
    "amountCaptured": 2499,
    "amountRefunded": 0,
    "merchantReference": None,
    "metadata": {"order": "1234"},
    "lastError": None,
    "latestTransaction": TRANSACTION,
    "amountDisputed": 0,
    "allowPartialAuthorization": False,
    "captureBefore": None,
    "cancelRequested": False,
    "version": 3,
    "createdAt": "2026-01-02T03:04:05Z",
    "updatedAt": "2026-01-02T03:04:06Z",
}
EVENT: dict[str, Any] = {
    "id": "evt_0123456789abcdefghijkl",
    "sequence": 1,
    "type": "payment_intent.created",
    "actor": "merchant",
    "at": "2026-01-02T03:04:05Z",
    "transaction": None,
    "data": {"amountInCents": 2499},
}
# The key of docs/vectors/card.json, for whoever wants to open what was sealed.
KEYS: dict[str, Any] = {
    "keys": [
        {
            "kid": "3vNMky2BYyw",
            "suite": 1,
            "publicKey": "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8",
            "state": "active",
            "notAfter": "2036-01-02T03:04:05Z",
        }
    ]
}
