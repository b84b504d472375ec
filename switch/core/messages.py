"""The messages that bring a card: a sale, an authorization, an account verification.

Fields follow the DE matrix of NET87B (iso8583.md 2.2). The CVC travels in DE 48 of the request and
nowhere else. A request is kept for the echo check only, and without its card.
"""

from __future__ import annotations

from msgspec import Struct

from ledger.money import numeric_currency
from ledger.rows import Merchant
from switch.dialects import Policy
from switch.iso8583.mti import AUTHORIZATION_REQUEST, FINANCIAL_REQUEST
from switch.iso8583.private import encode as encode_private

PROCESSING_CODE_SALE = "000000"
PROCESSING_CODE_VERIFICATION = "380000"
PRIVATE_TAG_CVC2 = "92"
# What stands before the code in DE 48, by the number of its digits.
_CVC2_HEADS = {
    digits: encode_private({PRIVATE_TAG_CVC2: "0" * digits}).removesuffix("0" * digits)
    for digits in (3, 4)
}
CARD_ELEMENTS = (2, 14, 48)  # PAN, expiry, private data with the CVC


class Acceptor(Struct, frozen=True, gc=False):
    """What the network is told about the merchant, already at field width."""

    terminal_id: str  # DE 41, 8
    card_acceptor_id: str  # DE 42, 15
    name_location: str  # DE 43, 40
    mcc: str  # DE 18, 4
    country: str  # DE 19, 3 digits

    @classmethod
    def of(cls, merchant: Merchant) -> Acceptor:
        """What networks are told about a merchant of the ledger."""
        return cls(
            terminal_id=f"{merchant.terminal_id:8}",
            card_acceptor_id=f"{merchant.card_acceptor_id:15}",
            name_location=f"{merchant.name_location:40}",
            mcc=merchant.mcc,
            country=merchant.country,
        )


class Shape(Struct, frozen=True, gc=False):
    """What is the same in every request of one kind on one network."""

    mti: str
    processing_code: str  # DE 3
    pos_entry_mode: str  # DE 22
    pos_condition_code: str  # DE 25


def charge_shape(policy: Policy, *, dual: bool) -> Shape:
    """Of a charge: a 0100 on networks that capture by a message of its own, otherwise a 0200."""
    mti = AUTHORIZATION_REQUEST if dual else FINANCIAL_REQUEST
    return Shape(mti, PROCESSING_CODE_SALE, policy.pos_entry_mode, policy.pos_condition_code)


def verification_shape(policy: Policy) -> Shape:
    """Of an account verification: a 0100 on every network, for no amount."""
    return Shape(
        AUTHORIZATION_REQUEST,
        PROCESSING_CODE_VERIFICATION,
        policy.pos_entry_mode,
        policy.pos_condition_code,
    )


def card_request(
    *,
    shape: Shape,
    pan: str,
    expiry: str,
    cvc: str,
    amount_minor: int,
    currency: str,
    stan: str,
    de7: str,
    rrn: str,
    acquirer_id: str,
    acceptor: Acceptor,
) -> dict[int, str]:
    """The fields of a 0100 or 0200; `expiry` YYMM, `de7` MMDDhhmmss, `currency` alphabetic."""
    fields = {
        0: shape.mti,
        2: pan,
        3: shape.processing_code,
        4: f"{amount_minor:012d}",
        7: de7,
        11: stan,
        12: de7[4:],
        13: de7[:4],
        14: expiry,
        18: acceptor.mcc,
        19: acceptor.country,
        22: shape.pos_entry_mode,
        25: shape.pos_condition_code,
        32: acquirer_id,
        37: rrn,
        41: acceptor.terminal_id,
        42: acceptor.card_acceptor_id,
        43: acceptor.name_location,
        49: numeric_currency(currency),
    }
    if cvc:
        fields[48] = _CVC2_HEADS[len(cvc)] + cvc
    return fields


def drop_card(fields: dict[int, str]) -> None:
    """Take PAN, expiry and CVC out of a request that has been encoded; the echoes stay."""
    for de in CARD_ELEMENTS:
        fields.pop(de, None)
