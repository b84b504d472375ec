"""Bodies of `POST /payment-intents/{id}/transactions`: a record for each value of `type`."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from api.bodies import Amount, Body, amount_faults, refusal, refuse_faults
from api.json_body import convert, read_object

CIPHERTEXT_CHARS_MAX: Final = 1_024  # suite 2 makes 465; anything near this is no sealed card


class SealedCard(Body, frozen=True, kw_only=True):
    """A card as the browser sealed it."""

    ciphertext: str


class PaymentMethod(Body, frozen=True, kw_only=True):
    """The long form of `card`."""

    type: str
    ciphertext: str


class CardBody(Body, frozen=True, kw_only=True, tag_field="type"):
    """Base of what brings a card, in one of its two forms."""

    card: SealedCard | UnsetType = UNSET
    payment_method: PaymentMethod | UnsetType = UNSET

    @property
    def ciphertext(self) -> str:
        """The sealed card; one of the two forms is there when the body has been read."""
        if self.card is not UNSET:
            return self.card.ciphertext
        assert self.payment_method is not UNSET
        return self.payment_method.ciphertext


class ChargeIntent(CardBody, frozen=True, kw_only=True, tag="charge"):
    """Charge the intent with a card, or authorize it where its captureMethod is `manual`."""


class VerifyIntent(CardBody, frozen=True, kw_only=True, tag="verify"):
    """Ask the issuer whether the card is good; no money moves and the intent stays `created`."""


class CaptureIntent(Body, frozen=True, kw_only=True, tag_field="type", tag="capture"):
    """Collect what is authorized, or a part of it; without an amount all that remains."""

    amount_in_cents: Amount | UnsetType = UNSET
    final_capture: bool = True


class CancelIntent(Body, frozen=True, kw_only=True, tag_field="type", tag="cancel"):
    """Give up what is authorized, or an intent that has not been paid."""


class RefundIntent(Body, frozen=True, kw_only=True, tag_field="type", tag="refund"):
    """Give back what was captured, or a part of it; without an amount all that remains."""

    amount_in_cents: Amount | UnsetType = UNSET


MoneyBody = CaptureIntent | CancelIntent | RefundIntent
TransactionBody = ChargeIntent | MoneyBody | VerifyIntent

_BODIES: Final[dict[str, type[TransactionBody]]] = {
    "charge": ChargeIntent,
    "capture": CaptureIntent,
    "cancel": CancelIntent,
    "refund": RefundIntent,
    "verify": VerifyIntent,
}


def read_transaction(body: bytes) -> TransactionBody:
    """Type-check and check what shall be done with an intent.

    Raises:
        ProblemError: a rule broken, or what `read_object` raises.
    """
    return _read_plain_charge(body) or _read_any(read_object(body))


_decode_charge = msgspec.json.Decoder(ChargeIntent).decode
_PLAIN_CHARGE_QUOTES: Final = 10


def _read_plain_charge(body: bytes) -> ChargeIntent | None:
    """Read the one form that nearly all charges have, in a third of the time; or give up.

    The text must hold ten quotation marks and no backslash: those of three names and two values,
    which are then all that is in it, so no member stands twice and `type` is not missing.
    """
    try:
        charge = _decode_charge(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if charge.card is UNSET:
        return None
    ciphertext = charge.card.ciphertext
    if (
        ciphertext[:3] == "v1."
        and len(ciphertext) <= CIPHERTEXT_CHARS_MAX
        and ciphertext.isascii()
        and body.count(b'"') == _PLAIN_CHARGE_QUOTES
        and b"\\" not in body
    ):
        return charge
    return None


def _read_any(value: dict[str, Any]) -> TransactionBody:
    kind = value.get("type")
    if kind is None:
        raise refusal("", "missing_field", "type is missing")
    if not isinstance(kind, str):
        raise refusal("/type", "invalid_type", "must be a string")
    if kind not in _BODIES:
        raise refusal("/type", "invalid_value", f"must be one of {', '.join(sorted(_BODIES))}")
    body = convert(value, _BODIES[kind])
    if isinstance(body, CardBody):
        _check_card(body)
    elif not isinstance(body, CancelIntent) and body.amount_in_cents is not UNSET:
        refuse_faults(amount_faults(body.amount_in_cents))
    return body


def _check_card(body: CardBody) -> None:
    if body.card is UNSET and body.payment_method is UNSET:
        raise refusal("", "missing_field", "card is missing")
    if body.card is not UNSET and body.payment_method is not UNSET:
        raise refusal("/paymentMethod", "invalid_value", "send card or paymentMethod, not both")
    pointer = "/card"
    if body.payment_method is not UNSET:
        pointer = "/paymentMethod"
        if body.payment_method.type != "card":
            raise refusal("/paymentMethod/type", "invalid_value", "must be card")
    if len(body.ciphertext) > CIPHERTEXT_CHARS_MAX or not body.ciphertext.isascii():
        raise refusal(f"{pointer}/ciphertext", "card_undecryptable", "is no sealed card")
