"""What the api says to the switch and hears from it: msgspec records over `chassis.mux`.

One `Charge` is one POST of a charge or a verification, which bring a card; one `Operate` is one
POST of anything that follows. Every reply is final for its request: either the transaction as it
stands durably, or a refusal that recorded nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]


class Charge(Struct, array_like=True, gc=False, frozen=True, tag_field="request", tag="charge"):
    """Charge one intent with one sealed card, or ask its issuer whether the card is good."""

    intent_id: Id16
    merchant_id: Id16  # of the authenticated key
    publishable_key: str
    live: bool
    ciphertext: str
    key_digest: Id16  # merchant, mode, credential class (intent), idempotency key
    request_hash: Id16  # method, target, body
    request_id: Id16  # the X-Request-Id, kept on the outcome
    operation: Literal["charge", "verification"] = "charge"


class Operate(Struct, array_like=True, gc=False, frozen=True, tag_field="request", tag="operate"):
    """Capture, cancel or refund one intent: what needs no card from outside.

    Refused with, besides what a charge is refused with: not_authorized, capture_expired,
    capture_method_unavailable, use_refund, amount_exceeds_capturable, amount_exceeds_refundable.
    """

    intent_id: Id16
    merchant_id: Id16  # of the authenticated key
    live: bool
    type: Literal["capture", "cancel", "refund"]
    amount_minor: Annotated[int, Meta(ge=0, le=999_999_999_999)]  # 0 = all that remains
    final_capture: bool  # captures: the rest of the authorization is released
    key_digest: Id16  # merchant, mode, credential class, idempotency key
    request_hash: Id16  # method, target, body
    request_id: Id16  # the X-Request-Id, kept on the outcome


class TransactionState(Struct, array_like=True, gc=False, frozen=True):
    """A transaction as the ledger holds it; instants are microseconds since 1970."""

    transaction_id: bytes
    intent_id: bytes
    type: str
    status: str
    amount_minor: int  # of a partial approval: what was approved
    currency: str
    response_code: str  # DE 39, or empty
    approval_code: str  # DE 38, or empty
    decline_code: str  # or empty
    advice: str  # or empty
    card_brand: str
    card_last4: str
    card_exp_month: int
    card_exp_year: int
    created_at: int
    updated_at: int
    final_capture: bool | None = None  # captures only


class Done(Struct, array_like=True, gc=False, frozen=True, tag="done"):
    """The transaction, durable; `replayed` where the key had been used by the same request."""

    transaction: TransactionState
    replayed: bool = False


class Refused(Struct, array_like=True, gc=False, frozen=True, tag="refused"):
    """Nothing was recorded, or the key belongs to another request."""

    code: str  # an error code of contract 4
    retry_after_s: int = 0


SwitchRequest = Charge | Operate
SwitchReply = Done | Refused
